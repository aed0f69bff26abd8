use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

/// The open connections of all workers.
#[derive(Debug, Default)]
pub(super) struct Open {
    count: AtomicUsize,
    /// Told each time the last one has closed.
    none: Notify,
}

impl Open {
    /// Ends when no connection is open, as of some moment after the call.
    pub(super) async fn none(&self) {
        loop {
            let closed = self.none.notified();
            if self.count.load(Ordering::Relaxed) == 0 {
                return;
            }
            closed.await;
        }
    }
}

/// Keeps a connection counted as open.
#[derive(Debug)]
pub struct Guard {
    open: Arc<Open>,
    /// The worker waits until all of these are gone.
    _alive: mpsc::Sender<()>,
}

impl Guard {
    pub(super) fn new(open: Arc<Open>, alive: mpsc::Sender<()>) -> Self {
        open.count.fetch_add(1, Ordering::Relaxed);
        Self { open, _alive: alive }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.open.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.open.none.notify_waiters();
        }
    }
}

/// The number of open connections.
#[derive(Clone)]
pub struct Connections(pub(super) Arc<Open>);

impl Connections {
    /// As of now.
    pub fn open(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.open()).finish()
    }
}
