//! What hyper keeps to itself: since when a connection of HTTP/1 waits for a
//! request, and whether there is anything of one.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

/// Since when a connection waits for the head of a request. Only the connection's
/// own task looks at it; it is made of atomics because hyper asks for `Sync`.
#[derive(Debug)]
pub(super) struct Waits {
    began: Instant,
    /// In nanoseconds after it began.
    since: AtomicU64,
    /// Something has been read since then.
    has_read: AtomicBool,
    /// Something that was written is not known to be on its way.
    is_sending: AtomicBool,
}

/// It doesn't wait.
const NEVER: u64 = u64::MAX;

impl Waits {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            since: NEVER.into(),
            has_read: false.into(),
            is_sending: false.into(),
        }
    }

    /// Since when it waits, if it does: nothing of a request is under way then, in
    /// neither direction, but perhaps the last bytes of an answer and the first ones
    /// of the next head.
    pub(super) fn since(&self) -> Option<Instant> {
        let since = self.since.load(Ordering::Relaxed);
        (since != NEVER).then(|| self.began + Duration::from_nanos(since))
    }

    /// Whether it does nothing but wait.
    pub(super) fn is_idle(&self) -> bool {
        self.since.load(Ordering::Relaxed) != NEVER
            && !self.has_read.load(Ordering::Relaxed)
            && !self.is_sending.load(Ordering::Relaxed)
    }

    /// It waits; another connection of hyper's on the same stream goes on with that.
    pub(super) fn go_on(&self, since: Instant) {
        let since = since.saturating_duration_since(self.began).as_nanos();
        self.since.store(u64::try_from(since).unwrap_or(NEVER - 1), Ordering::Relaxed);
    }

    pub(super) fn read(&self) {
        self.has_read.store(true, Ordering::Relaxed);
    }

    pub(super) fn sending(&self, is_sending: bool) {
        self.is_sending.store(is_sending, Ordering::Relaxed);
    }
}

/// The timer of one connection, which hyper sets exactly when it begins to wait for
/// a head and drops when it has it. It wakes nobody: the connection's task does.
pub(super) struct Clock {
    pub(super) waits: Arc<Waits>,
    pub(super) head_timeout: Duration,
}

impl Clock {
    fn head(&self) -> Pin<Box<dyn Sleep>> {
        let since = self.waits.since().unwrap_or_else(|| {
            let now = Instant::now();
            self.waits.go_on(now);
            self.waits.has_read.store(false, Ordering::Relaxed);
            now
        });
        Box::pin(Head { waits: Arc::clone(&self.waits), until: since + self.head_timeout })
    }
}

impl Timer for Clock {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.head()
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.head()
    }
}

/// A head that is waited for.
struct Head {
    waits: Arc<Waits>,
    until: Instant,
}

impl Sleep for Head {}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() < self.until { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.waits.since.store(NEVER, Ordering::Relaxed);
    }
}
