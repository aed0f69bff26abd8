//! How busy an endpoint is, and whether it may be picked: what balancers read
//! and requests write.

mod lease;

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use lease::Lease;

/// The live side of one endpoint, shared by every snapshot it appears in, so
/// that it survives each rebuild of its cluster.
///
/// Reading never writes: picks on many threads don't contend here.
#[derive(Debug)]
pub struct Load {
    in_flight: AtomicUsize,
    ready: AtomicBool,
}

impl Load {
    /// The load of an idle endpoint that may, or may not yet, be picked.
    pub fn new(ready: bool) -> Self {
        Self { in_flight: AtomicUsize::new(0), ready: AtomicBool::new(ready) }
    }

    /// Requests sent to this endpoint and not yet finished.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a balancer may pick this endpoint.
    ///
    /// Pairs with [`set_ready`](Self::set_ready): who sees the endpoint ready
    /// sees all that was done before it was made so.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Lets balancers pick this endpoint, or not. Takes effect at once, in every
    /// snapshot; the order of the others is not disturbed. Says whether this
    /// changed anything.
    pub fn set_ready(&self, ready: bool) -> bool {
        self.ready.swap(ready, Ordering::AcqRel) != ready
    }

    /// Counts one more request in flight, until the lease is dropped.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease::take(Arc::clone(self))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_flip_is_told_from_a_repetition() {
        let load = Load::new(false);
        assert!(load.set_ready(true));
        assert!(!load.set_ready(true));
        assert!(load.is_ready());
    }
}
