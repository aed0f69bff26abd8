//! What happens, as it happens: a stream of events, and the page that shows it.
//!
//! One task looks at the plane and at the requests that have ended, and writes what it
//! sees to everybody who follows. It runs while somebody does; while nobody does,
//! requests are not told.

mod files;
mod state;
mod traffic;
mod window;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use lb_core::{http::Plane, server::Connections};
use lb_docker::Status;
use tokio::{sync::mpsc, time};

pub(crate) use files::{POLICY, file};
use state::State;
use traffic::Traffic;

/// How often it is looked whether the state has changed.
const TICK: Duration = Duration::from_millis(100);

/// How often traffic is told.
const TRAFFIC: Duration = Duration::from_millis(250);

/// How many may follow.
const FOLLOWERS: usize = 64;

/// Events that one of them may be behind by. Who is further behind is let go, and finds
/// the whole state when he comes back.
const BEHIND: usize = 64;

/// How soon a browser comes back that has lost the stream.
const RETRY: &str = "retry: 1000\n\n";

/// Tells whoever wants to know.
pub(crate) struct Live {
    plane: Plane,
    connections: Connections,
    docker: Option<Status>,
    started: SystemTime,
    followers: Mutex<Followers>,
}

#[derive(Default)]
struct Followers {
    all: Vec<mpsc::Sender<Bytes>>,
    /// The state as it was told last; nothing while nobody follows.
    state: Bytes,
    /// No more is told.
    ended: bool,
}

/// The stream of one follower, as the body of an answer.
pub(crate) struct Events(mpsc::Receiver<Bytes>);

impl Live {
    pub(crate) fn new(plane: Plane, connections: Connections, docker: Option<Status>) -> Self {
        let (started, followers) = (SystemTime::now(), Mutex::default());
        Self { plane, connections, docker, started, followers }
    }

    /// A stream that begins with what is so now; nothing where too many follow already, or
    /// another process knows better.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Events> {
        let mut followers = self.followers();
        if followers.ended || followers.all.len() >= FOLLOWERS {
            return None;
        }
        if followers.all.is_empty() {
            followers.state = self.state();
            tokio::spawn(Arc::clone(self).tell());
        }
        let (events, receiver) = mpsc::channel(BEHIND);
        // There is room.
        let _ = events.try_send(Bytes::from_static(RETRY.as_bytes()));
        let _ = events.try_send(followers.state.clone());
        followers.all.push(events);
        Some(Events(receiver))
    }

    /// Ends all streams: another process knows better from now on.
    pub(crate) fn end(&self) {
        let mut followers = self.followers();
        followers.ended = true;
        followers.all.clear();
    }

    async fn tell(self: Arc<Self>) {
        // The task before this one may be about to let go of its watch.
        let watch = loop {
            match self.plane.watch() {
                Some(watch) => break watch,
                None => time::sleep(TICK).await,
            }
        };
        let mut traffic = Traffic::new(watch);
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut told = time::Instant::now();
        loop {
            tick.tick().await;
            let state = self.state();
            let event = (told.elapsed() >= TRAFFIC).then(|| {
                told = time::Instant::now();
                event("traffic", &traffic.next(&self.plane, self.connections.open()))
            });
            let mut followers = self.followers();
            if state != followers.state {
                followers.state = state.clone();
                followers.send(&state);
            }
            if let Some(event) = event {
                followers.send(&event);
            }
            followers.all.retain(|follower| !follower.is_closed());
            if followers.all.is_empty() {
                // Under the lock: whoever comes next starts another one.
                return;
            }
        }
    }

    fn state(&self) -> Bytes {
        event("state", &State::of(&self.plane, self.docker.as_ref(), self.started))
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followers {
    fn send(&mut self, event: &Bytes) {
        self.all.retain(|follower| follower.try_send(event.clone()).is_ok());
    }
}

/// As `text/event-stream` has it.
fn event(name: &str, data: &impl serde::Serialize) -> Bytes {
    let mut event = format!("event: {name}\ndata: ").into_bytes();
    // Plain data always becomes JSON, and JSON of one line.
    if serde_json::to_writer(&mut event, data).is_err() {
        return Bytes::new();
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
