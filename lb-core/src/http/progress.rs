use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    time::Instant,
};

use super::body::Stopped;
use crate::clock;

/// How far the body of a request has come, for whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When it last moved on, as [`clock::nanos`].
    moved: AtomicU64,
    /// Whether it is the client that keeps it.
    awaited: AtomicBool,
    /// Bytes that have come.
    received: AtomicU64,
    stopped: AtomicU8,
}

impl Progress {
    /// It is the client's turn.
    pub(super) fn awaits(&self) {
        self.awaited.store(true, Ordering::Relaxed);
    }

    /// So much has come.
    pub(super) fn moves(&self, bytes: usize) {
        self.awaited.store(false, Ordering::Relaxed);
        // Nobody else does.
        let received = self.received.load(Ordering::Relaxed).saturating_add(bytes as u64);
        self.received.store(received, Ordering::Relaxed);
        self.moved.store(clock::nanos(clock::now()), Ordering::Relaxed);
    }

    /// Bytes that have come.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// No more of it is read.
    pub(super) fn stops(&self, why: Stopped) {
        self.stopped.store(why as u8, Ordering::Relaxed);
    }

    /// Why no more of it was read, if that is so.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        let why = self.stopped.load(Ordering::Relaxed);
        Stopped::ALL.into_iter().find(|known| *known as u8 == why)
    }

    /// When the endpoint could last be expected to do something, if it was asked then;
    /// `None` while it waits for the client itself.
    pub(super) fn since(&self, asked: Instant) -> Option<u64> {
        let awaited = self.awaited.load(Ordering::Relaxed);
        (!awaited).then(|| self.moved.load(Ordering::Relaxed).max(clock::nanos(asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_not_waited_for_while_the_client_is() {
        let progress = Progress::default();
        let asked = clock::now();
        assert_eq!(progress.since(asked), Some(clock::nanos(asked)));
        progress.awaits();
        assert_eq!(progress.since(asked), None);
        progress.moves(3);
        progress.moves(4);
        assert!(progress.since(asked) >= Some(clock::nanos(asked)));
        assert_eq!(progress.received(), 7);
    }

    #[test]
    fn it_tells_why_it_stopped() {
        let progress = Progress::default();
        assert_eq!(progress.stopped(), None);
        for why in Stopped::ALL {
            progress.stops(why);
            assert_eq!(progress.stopped(), Some(why));
        }
    }
}
