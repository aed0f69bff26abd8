#[cfg(loom)]
use loom::sync::atomic::Ordering;
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::Ordering;

use super::Load;

/// One request in flight on one endpoint. Dropping it ends the request, however
/// it ended: answered, failed, cancelled.
///
/// Hold it until the last byte of the answer has passed, or a slow download
/// counts as no load at all.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once counts nothing"]
pub struct Lease(Arc<Load>);

impl Lease {
    pub(super) fn take(load: Arc<Load>) -> Self {
        // Relaxed: the count is a hint for picking; nothing is published by it.
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(load)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_while_it_lives() {
        let load = Arc::new(Load::new(true));
        let (a, b) = (load.lease(), load.lease());
        assert_eq!(load.in_flight(), 2);
        drop(a);
        assert_eq!(load.in_flight(), 1);
        drop(b);
        assert_eq!(load.in_flight(), 0);
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test -p lb-core --lib load::`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;

    #[test]
    fn every_interleaving_ends_at_zero() {
        loom::model(|| {
            let load = Arc::new(Load::new(true));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let load = load.clone();
                    thread::spawn(move || {
                        let lease = load.lease();
                        assert!(load.in_flight() >= 1);
                        drop(lease);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(load.in_flight(), 0);
        });
    }

    #[test]
    fn one_of_two_flips_is_the_change() {
        loom::model(|| {
            let load = Arc::new(Load::new(false));
            let other = load.clone();
            let there = thread::spawn(move || other.set_ready(true));
            let here = load.set_ready(true);
            assert!(here ^ there.join().unwrap());
        });
    }
}
