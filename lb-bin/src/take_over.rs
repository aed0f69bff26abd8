//! How a new process takes over from the one that runs.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context, bail};
use lb_core::{http::Controls, server::handover};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time,
};

use crate::control::{
    Name, is_nobody, peer,
    protocol::{self, Answer, LEAVING, LONGEST, Question, STOPPING},
};

/// How long the one that runs may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one that is stopping is waited for, and how often it is looked for.
const TO_END: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// The one that runs. It goes on as it is until it hears
/// [`serving`](Self::serving); if this is dropped before, for good.
pub(crate) struct Predecessor {
    stream: BufReader<UnixStream>,
    drained: Vec<String>,
}

/// What it has given us.
pub(crate) struct Sockets {
    pub(crate) control: UnixListener,
    pub(crate) tcp: Vec<TcpListener>,
}

/// Who is at the control socket.
enum Found {
    Nobody,
    /// One that has nothing to hand over any more.
    Stopping,
    Running(Predecessor, Sockets),
}

impl Predecessor {
    /// Gets its sockets, if there is one. One that is stopping is waited for.
    pub(crate) async fn find(name: &Name) -> anyhow::Result<Option<(Self, Sockets)>> {
        let found = time::timeout(TO_END, async {
            let mut told = false;
            loop {
                match Self::look(name).await? {
                    Found::Nobody => return Ok(None),
                    Found::Running(one, sockets) => return Ok(Some((one, sockets))),
                    Found::Stopping if !told => {
                        told = true;
                        tracing::info!("the balancer at {name} is stopping: waiting for its end");
                    }
                    Found::Stopping => {}
                }
                time::sleep(LOOK).await;
            }
        });
        found
            .await
            .unwrap_or_else(|_| bail!("it is stopping, and still there after {TO_END:?}"))
            .with_context(|| format!("can't take over from the balancer at {name}"))
    }

    async fn look(name: &Name) -> anyhow::Result<Found> {
        let stream = match name.connect().await {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(Found::Nobody),
            Err(error) => return Err(error).context("can't ask"),
        };
        // Requests are for whoever listens to the sockets that one would send.
        if let Some(user) = peer::impostor(&stream)? {
            tracing::warn!("who answers at {name} runs as user {user}, and is not asked");
            return Ok(Found::Nobody);
        }
        match time::timeout(PATIENCE, Self::ask(stream)).await {
            Err(_) => bail!("no answer in {PATIENCE:?}"),
            // It has ended in this very moment.
            Ok(Err(error)) if is_an_end(&error) => Ok(Found::Stopping),
            Ok(found) => found,
        }
    }

    async fn ask(stream: UnixStream) -> anyhow::Result<Found> {
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{}\n", Question::TakeOver).as_bytes()).await?;
        let Some((message, sockets)) = handover::receive(stream.get_ref(), LONGEST).await? else {
            return Ok(Found::Stopping);
        };
        let message = String::from_utf8(message)?;
        if message == STOPPING {
            return Ok(Found::Stopping);
        }
        if let Some(Answer::Failed(why)) = Answer::parse(&message) {
            bail!("{why}");
        }
        let drained = protocol::parse_sockets(&message)
            .with_context(|| format!("it says what is not understood: {message:?}"))?;
        let mut sockets = sockets.into_iter();
        let control = sockets.next().context("it has sent no socket")?;
        let control = UnixListener::from_std(control.into())?;
        let tcp = sockets.map(|socket: OwnedFd| TcpListener::from(socket)).collect();
        Ok(Found::Running(Self { stream, drained }, Sockets { control, tcp }))
    }

    /// Gives no requests to who was to get none.
    pub(crate) async fn drain_the_same(&self, controls: &Controls) {
        for id in &self.drained {
            if let Err(error) = controls.drain(id).await {
                // It has left in this very moment.
                tracing::info!("{error}: it was drained before");
            }
        }
    }

    /// Says that these addresses are served from now on. Returns once the other
    /// one has understood, or is ending anyway.
    ///
    /// # Errors
    ///
    /// It goes on: this has taken too long.
    pub(crate) async fn serving(mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let mut answer = String::new();
        // What fails leaves no answer; one that was given before is there.
        let _ = self.stream.write_all(protocol::serving(addresses).as_bytes()).await;
        let mut limited = self.stream.take(LONGEST as u64);
        let _ = time::timeout(PATIENCE, limited.read_line(&mut answer)).await;
        if let Some(Answer::Failed(why)) = Answer::parse(&answer) {
            bail!("can't take over: {why}");
        }
        match answer.as_str() {
            LEAVING => {
                tracing::info!("taken over from the process before, which finishes what it has");
            }
            STOPPING => tracing::info!("this one serves; the process before was told to stop"),
            _ => tracing::warn!("this one serves; the process before gave no answer"),
        }
        Ok(())
    }
}

fn is_an_end(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    })
}
