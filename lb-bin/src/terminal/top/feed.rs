//! The live feed of a balancer, followed wherever it goes.

use std::time::Duration;

use anyhow::anyhow;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::mpsc::{self, error::SendError},
    time,
};

use crate::terminal::{
    admin::{Admin, read},
    answers::{State, Traffic},
    sse::{Event, Events},
};

/// What comes of it.
#[derive(Debug)]
pub(super) enum Update {
    State(State),
    Traffic(Traffic),
    /// There is nothing to follow at the moment.
    Lost(String),
}

const PATH: &str = "/live/events";

/// How long to wait before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Traffic is told four times a second. Who is silent for so long hangs.
const SILENCE: Duration = Duration::from_secs(5);

/// Updates that may wait to be shown. Who shows none for so long is told later ones.
const BACKLOG: usize = 64;

/// Begins to follow, and goes on for as long as anybody receives.
///
/// # Errors
///
/// There is nobody to follow to begin with.
pub(super) async fn follow(admin: Admin) -> anyhow::Result<mpsc::Receiver<Update>> {
    let body = admin.follow(PATH).await?;
    let (updates, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        // An error means that nobody receives any more.
        let _ = pass_on(admin, body, &updates).await;
    });
    Ok(receiver)
}

async fn pass_on(
    admin: Admin,
    mut body: Incoming,
    updates: &mpsc::Sender<Update>,
) -> Result<(), SendError<Update>> {
    loop {
        let (end, mut why) = tell(&mut body, updates).await?;
        let mut pause = match end {
            // Another process may have taken over, and be there at once.
            End::Orderly => Duration::ZERO,
            End::Amiss => PAUSE,
        };
        body = loop {
            if !pause.is_zero() {
                updates.send(Update::Lost(format!("{why:#}"))).await?;
                time::sleep(pause).await;
            }
            match admin.follow(PATH).await {
                Ok(body) => break body,
                Err(error) => (why, pause) = (error, PAUSE),
            }
        };
    }
}

/// How a stream has ended.
enum End {
    /// After it had told something.
    Orderly,
    Amiss,
}

/// Passes on what comes until nothing does, and says why.
async fn tell(
    body: &mut Incoming,
    updates: &mpsc::Sender<Update>,
) -> Result<(End, anyhow::Error), SendError<Update>> {
    let (mut events, mut end) = (Events::default(), End::Amiss);
    loop {
        let piece = match time::timeout(SILENCE, body.frame()).await {
            Err(_) => {
                return Ok((End::Amiss, anyhow!("the balancer has been silent for {SILENCE:?}")));
            }
            Ok(None) => return Ok((end, anyhow!("the balancer has ended"))),
            Ok(Some(Err(error))) => return Ok((end, error.into())),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        let events = match events.feed(&piece) {
            Ok(events) => events,
            Err(error) => return Ok((End::Amiss, anyhow!("{error}"))),
        };
        for event in events {
            match understood(&event) {
                Ok(Some(update)) => updates.send(update).await?,
                Ok(None) => {}
                Err(error) => return Ok((End::Amiss, error)),
            }
            end = End::Orderly;
        }
    }
}

fn understood(event: &Event) -> anyhow::Result<Option<Update>> {
    let update = match event.name.as_str() {
        "state" => Update::State(read(PATH, &event.data)?),
        "traffic" => Update::Traffic(read(PATH, &event.data)?),
        _ => return Ok(None),
    };
    Ok(Some(update))
}
