use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::open::{Connections, Open};

/// Workers at work.
///
/// They end in steps, so that no client runs into a closed door: first
/// [`leave`](Self::leave), while everybody who has not heard of it yet is still
/// served; then either [`shutdown`](Self::shutdown), or, if another process
/// accepts from the same sockets, [`hand_over`](Self::hand_over).
#[derive(Debug)]
pub struct Running {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) open: Arc<Open>,
    pub(super) finished: Vec<oneshot::Receiver<io::Result<usize>>>,
}

/// How far the end has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Accepting, with answers that ask for the end of their connection.
    Leaving,
    /// As before, without accepting. What waits in the queue of a `shared` socket
    /// is for the process that took it over.
    HandedOver {
        shared: Vec<SocketAddr>,
        until: Instant,
    },
    /// Not accepting, closing what is idle.
    Stopping {
        until: Instant,
    },
}

impl Phase {
    /// Whether accepting is over.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::HandedOver { .. } | Self::Stopping { .. })
    }
}

impl Running {
    /// Reads how many connections are open, for as long as it is kept.
    pub fn connections(&self) -> Connections {
        Connections(Arc::clone(&self.open))
    }

    /// The sockets it accepts from, to hand them over.
    pub fn listeners(&self) -> &[TcpListener] {
        &self.listeners
    }

    /// From now on every answer asks its client to close the connection. All else
    /// goes on: new connections are accepted, idle ones stay open.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Ends when no connection is open.
    pub async fn idle(&self) {
        self.open.none().await;
    }

    /// Stops accepting, lets requests in flight finish and idle connections
    /// close, and returns how many connections were cut off at `limit`.
    ///
    /// What had already connected is still served.
    ///
    /// # Errors
    ///
    /// A worker had failed.
    pub async fn shutdown(self, limit: Duration) -> io::Result<usize> {
        self.end(Phase::Stopping { until: Instant::now() + limit }).await
    }

    /// Stops accepting where another process goes on: who waits in the queue of a
    /// socket with one of the addresses in `shared` is left to it, and of the
    /// other sockets still served. Every answer asks for the end of its
    /// connection, while those that are idle or upgraded stay open. Returns how
    /// many were busy at `limit` and were cut off.
    ///
    /// # Errors
    ///
    /// A worker had failed.
    pub async fn hand_over(
        self,
        shared: impl IntoIterator<Item = SocketAddr>,
        limit: Duration,
    ) -> io::Result<usize> {
        let shared = shared.into_iter().collect();
        self.end(Phase::HandedOver { shared, until: Instant::now() + limit }).await
    }

    async fn end(self, phase: Phase) -> io::Result<usize> {
        let Self { listeners, phase: sender, finished, .. } = self;
        // A socket of ours that nobody accepts from would still take clients in.
        drop(listeners);
        sender.send_replace(phase);
        let mut cut_off = 0;
        for worker in finished {
            let ended = worker.await.unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            cut_off += ended?;
        }
        Ok(cut_off)
    }
}
