use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use lb_core::http::{Sink, Trace};
use metrics::Counter;
use tokio::sync::Notify;

/// Traces that wait to be sent: each worker has a place of its own for them, which it
/// shares with whoever sends and with no other worker.
pub(super) struct Queue<T = Trace> {
    lanes: Box<[Mutex<Vec<T>>]>,
    /// What a lane holds at the most.
    limit: usize,
    /// As many in one lane are to be sent at once: a batch, or so many that there is room
    /// for as many more until somebody has come for them.
    enough: usize,
    dropped: Counter,
    filled: Notify,
    closed: AtomicBool,
    stuck: AtomicBool,
}

/// The end of the queue where the proxy puts them.
pub(super) struct Queued(pub(super) Arc<Queue>);

impl Sink for Queued {
    fn take(&self, worker: usize, trace: Trace) {
        self.0.put(worker, trace);
    }
}

impl<T> Queue<T> {
    /// For so many workers, which together have room for `limit` traces.
    pub(super) fn new(workers: usize, limit: usize, batch: usize, dropped: Counter) -> Self {
        let workers = workers.max(1);
        let limit = limit.div_ceil(workers);
        Self {
            lanes: (0..workers).map(|_| Mutex::default()).collect(),
            limit,
            enough: batch.min(limit / 2).max(1),
            dropped,
            filled: Notify::new(),
            closed: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
        }
    }

    fn put(&self, worker: usize, trace: T) {
        let mut lane = lock(&self.lanes[worker % self.lanes.len()]);
        if lane.len() >= self.limit {
            drop(lane);
            self.dropped.increment(1);
            return;
        }
        lane.push(trace);
        let waiting = lane.len();
        drop(lane);
        // Waking for each would cost more than all the rest.
        if waiting == self.enough {
            self.filled.notify_one();
        }
    }

    /// All that wait.
    pub(super) fn take(&self) -> Vec<T> {
        self.lanes.iter().flat_map(|lane| std::mem::take(&mut *lock(lane))).collect()
    }

    /// Waits until there are enough, or none will come any more.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// What waits now is the last to be sent.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether what was sent last has not arrived.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_sends_is_woken_while_there_is_room() {
        for (workers, limit, batch, enough) in
            [(1, 2048, 512, 512), (4, 2048, 512, 256), (2, 3, 512, 1), (8, 8, 512, 1)]
        {
            let queue = Queue::new(workers, limit, batch, Counter::noop());
            (1..enough).for_each(|_| queue.put(0, ()));
            assert!(queue.filled().now_or_never().is_none(), "too early of {limit}");
            queue.put(0, ());
            assert!(queue.filled().now_or_never().is_some(), "too late of {limit}");
            assert_eq!(queue.take().len(), enough);
        }
    }
}
