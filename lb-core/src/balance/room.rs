use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use crate::clock;

/// Where requests wait that no endpoint of a pool can take.
#[derive(Debug, Default)]
pub(crate) struct Room {
    waiting: AtomicUsize,
    /// Since when requests have found no endpoint ready, by [`clock::nanos`]; 0
    /// while they find one.
    outage: AtomicU64,
}

impl Room {
    /// A seat for one request, unless `limit` are taken.
    pub(crate) fn enter(&self, limit: usize) -> Option<Seat<'_>> {
        Seat::take(&self.waiting, limit)
    }

    /// Requests that wait.
    #[cfg(feature = "http")]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether requests found no endpoint ready, and nobody has since.
    #[cfg(feature = "http")]
    pub(crate) fn is_out(&self) -> bool {
        self.outage.load(Ordering::Relaxed) != 0
    }

    /// How long no endpoint has been ready, for a request that finds none: the
    /// first one to ask begins the outage.
    pub(crate) fn outage(&self) -> Duration {
        let now = clock::nanos(clock::now());
        let begun = self.outage.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = begun.err().unwrap_or(now);
        Duration::from_nanos(now.saturating_sub(since))
    }

    /// An endpoint is ready: the outage, if there was one, is over.
    #[inline]
    pub(crate) fn ready(&self) {
        if self.outage.load(Ordering::Relaxed) != 0 {
            self.outage.store(0, Ordering::Relaxed);
        }
    }
}

/// One of a limited number, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a>(&'a AtomicUsize);

impl<'a> Seat<'a> {
    /// Takes one, unless `limit` are `taken`.
    pub(crate) fn take(taken: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let more = |n: usize| (n < limit).then_some(n + 1);
        let got = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        // Lazily: one that was not taken must not be given back.
        got.is_ok().then(|| Self(taken))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_and_given_back() {
        let room = Room::default();
        let seat = room.enter(1);
        assert!(seat.is_some() && room.enter(1).is_none());
        drop(seat);
        assert!(room.enter(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_counts_from_its_first_request_until_somebody_is_ready() {
        let room = Room::default();
        assert_eq!(room.outage(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(room.outage(), Duration::from_secs(3));
        room.ready();
        assert_eq!(room.outage(), Duration::ZERO, "another one");
    }
}
