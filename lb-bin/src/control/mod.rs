//! The socket over which a balancer that runs is told things.

mod client;
mod name;
pub(crate) mod peer;
pub(crate) mod protocol;

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lb_core::{
    http::{Controls, DrainError, Plane},
    server::handover,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Mutex, RwLock, Semaphore, mpsc, oneshot},
    time,
};

use crate::reload::Reloader;

pub(crate) use client::ask;
pub(crate) use name::{Claim, Name, is_nobody};
use protocol::{Answer, LEAVING, LONGEST, Question, STOPPING};

/// How long who connects may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one that takes over may take to serve: it looks names up, and waits
/// for half a minute to know the containers.
const TO_SERVE: Duration = Duration::from_secs(60);

/// How many may be connected at once.
const SEATS: usize = 16;

/// What is done about questions.
pub(crate) struct Control {
    controls: Controls,
    plane: Plane,
    reloader: Arc<Mutex<Reloader>>,
    /// To whoever holds the listening sockets.
    holder: mpsc::Sender<Request>,
    /// Whether another process is about to take over, or has.
    taken: AtomicBool,
    /// Read while a command is carried out: whoever takes over waits for those
    /// under way, and later ones are refused, so that none is lost.
    under_way: RwLock<()>,
}

/// What only the holder of the listening sockets can do.
pub(crate) enum Request {
    /// Give copies of them, this one's first.
    Sockets(oneshot::Sender<io::Result<Vec<OwnedFd>>>),
    /// Another process accepts from those with these addresses: stop that, say so,
    /// finish, and end, but not before it has been `told`.
    Leave { shared: Vec<SocketAddr>, left: oneshot::Sender<()>, told: oneshot::Receiver<()> },
}

impl Control {
    pub(crate) fn new(
        controls: Controls,
        plane: Plane,
        reloader: Arc<Mutex<Reloader>>,
        holder: mpsc::Sender<Request>,
    ) -> Self {
        Self {
            controls,
            plane,
            reloader,
            holder,
            taken: AtomicBool::new(false),
            under_way: RwLock::new(()),
        }
    }

    /// Whether another process may have our sockets.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    /// Answers until it is dropped; what is being answered then goes on.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<UnixListener>) {
        let seats = Arc::new(Semaphore::new(SEATS));
        // Apart, so that they take none away.
        let seats_of_strangers = Arc::new(Semaphore::new(SEATS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: others have to close some first.
                time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(stranger) = peer::stranger(&stream) else { continue };
            let seats = if stranger.is_some() { &seats_of_strangers } else { &seats };
            let Ok(seat) = Arc::clone(seats).try_acquire_owned() else {
                tracing::warn!("more than {SEATS} ask over the control socket at once");
                continue;
            };
            let control = Arc::clone(&self);
            tokio::spawn(async move {
                let _seat = seat;
                if let Err(error) = control.converse(stream, stranger).await {
                    tracing::debug!(%error, "a conversation over the control socket ended early");
                }
            });
        }
    }

    async fn converse(&self, stream: UnixStream, stranger: Option<u32>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        // Of strangers too: who is refused while he asks may not hear why.
        let question = line(&mut stream).await?;
        let answer = match (stranger, Question::parse(&question)) {
            (Some(user), _) => Answer::Failed(refusal(user)).to_string(),
            (None, Some(Question::TakeOver)) => self.hand_over(&mut stream).await?,
            (None, question) => self.carry_out(question).await.to_string(),
        };
        stream.write_all(answer.as_bytes()).await
    }

    async fn carry_out(&self, command: Option<Question>) -> Answer {
        let _under_way = self.under_way.read().await;
        if self.is_taken() {
            return Answer::Failed(
                "another process is about to take over; ask again in a moment".into(),
            );
        }
        match command {
            Some(Question::Drain(who)) => {
                drained(self.controls.drain(&who).await, "gets no new requests")
            }
            Some(Question::Undrain(who)) => {
                drained(self.controls.undrain(&who).await, "gets requests again")
            }
            Some(Question::Reload) => match self.reloader.lock().await.reload().await {
                Ok(text) => Answer::Done(text),
                Err(why) => Answer::Failed(format!("{why:#}; nothing is changed")),
            },
            Some(Question::TakeOver) | None => Answer::Failed(
                "this is not understood; are the two of the same version? There are drain \
                 CONTAINER, undrain CONTAINER, reload and take-over"
                    .into(),
            ),
        }
    }

    /// Lets another process take over, and returns what is left to say to it. If
    /// that one ends before it serves, nothing has happened.
    async fn hand_over(&self, stream: &mut BufReader<UnixStream>) -> io::Result<String> {
        if self.taken.swap(true, Ordering::SeqCst) {
            let refusal = "another process is about to take over already";
            return Ok(Answer::Failed(refusal.into()).to_string());
        }
        drop(self.under_way.write().await);
        let answer = match self.offer(stream).await {
            Ok(Ok(shared)) => return self.leave(stream, shared).await,
            Ok(Err(answer)) => Ok(answer),
            Err(error) => Err(error),
        };
        self.taken.store(false, Ordering::SeqCst);
        answer
    }

    /// Gives copies of the sockets away. Returns the addresses that are served by
    /// the other one in the end, or what to say to it if it isn't to.
    async fn offer(
        &self,
        stream: &mut BufReader<UnixStream>,
    ) -> io::Result<Result<Vec<SocketAddr>, String>> {
        let (reply, sockets) = oneshot::channel();
        // Whoever holds them drops both when it stops.
        let _ = self.holder.send(Request::Sockets(reply)).await;
        let Ok(sockets) = sockets.await else { return Ok(Err(STOPPING.into())) };
        let sockets = sockets?;
        let drained = self.plane.services().into_iter().flat_map(|service| service.endpoints);
        let drained: Vec<_> = drained
            .filter(|endpoint| endpoint.drained)
            .map(|endpoint| endpoint.id.to_string())
            .collect();
        let fds: Vec<_> = sockets.iter().map(std::os::fd::AsFd::as_fd).collect();
        let message = protocol::sockets(&drained);
        handover::send(stream.get_ref(), message.as_bytes(), &fds).await?;
        drop(fds);
        drop(sockets);
        let pid = stream.get_ref().peer_cred()?.pid();
        tracing::info!(pid, "another process is about to take over");

        let mut said = String::new();
        let mut limited = stream.take(LONGEST as u64);
        // An error is an end as well.
        if time::timeout(TO_SERVE, limited.read_line(&mut said)).await.is_err() {
            tracing::warn!(
                pid,
                "the process that was to take over doesn't serve after {TO_SERVE:?}; this one goes on"
            );
            let why = format!("it has waited for {TO_SERVE:?} and goes on; start again");
            return Ok(Err(Answer::Failed(why).to_string()));
        }
        Ok(protocol::parse_serving(&said).ok_or_else(|| {
            tracing::warn!("the process that was to take over has ended; this one goes on");
            String::new()
        }))
    }

    async fn leave(
        &self,
        stream: &mut BufReader<UnixStream>,
        shared: Vec<SocketAddr>,
    ) -> io::Result<String> {
        let (left, has_left) = oneshot::channel();
        // Dropped when this has been said, or can't be.
        let (_tells, told) = oneshot::channel();
        let asked = self.holder.send(Request::Leave { shared, left, told }).await;
        if asked.is_err() || has_left.await.is_err() {
            return Ok(STOPPING.into());
        }
        stream.write_all(LEAVING.as_bytes()).await?;
        Ok(String::new())
    }
}

fn refusal(user: u32) -> String {
    tracing::warn!(user, "refused over the control socket");
    format!("user {user} may not ask: be user {}, as the balancer is, or root", peer::us())
}

async fn line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    let mut limited = stream.take(LONGEST as u64);
    time::timeout(PATIENCE, limited.read_line(&mut line)).await??;
    Ok(line)
}

fn drained(done: Result<Vec<Arc<str>>, DrainError>, what: &str) -> Answer {
    match done {
        Ok(names) => Answer::Done(format!("{} {what}", names.join(", "))),
        Err(error) => Answer::Failed(error.to_string()),
    }
}
