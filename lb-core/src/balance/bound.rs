use std::sync::atomic::{AtomicU64, Ordering};

use super::{Candidate, census::Census};

/// Bounded loads: no endpoint holds more than a factor of its fair share of the
/// requests in flight, so a key that everybody asks for can't bring its endpoint
/// down (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded
/// Loads", SODA 2018).
///
/// Nobody keeps the sum of all requests in flight, as every request would have
/// to write it. It is counted by the picks instead: by each where there are few
/// candidates, else by one in so many that the cost of counting stays the same.
#[derive(Debug)]
pub(super) struct Bound {
    factor: f64,
    /// Who is down carries nothing.
    census: Census,
    in_flight: AtomicU64,
}

/// The most requests in flight for each unit of weight, as of one pick.
pub(super) struct Most(f64);

/// Candidates that a pick may look at to count, on average.
const SAMPLE: usize = 16;

impl Bound {
    pub(super) fn new(factor: f64, candidates: &[Candidate]) -> Self {
        // Less than a fair share can't hold everything there is.
        let factor = if factor > 1.0 { factor } else { 1.0 };
        let in_flight = AtomicU64::new(in_flight(candidates));
        Self { factor, census: Census::new(candidates), in_flight }
    }

    #[inline]
    pub(super) fn most(&self, candidates: &[Candidate]) -> Most {
        let n = candidates.len();
        if n <= SAMPLE || fastrand::usize(..n) < SAMPLE {
            self.in_flight.store(in_flight(candidates), Ordering::Relaxed);
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f64;
        Most(self.factor * (in_flight + 1.0) / self.census.ready(candidates))
    }
}

fn in_flight(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|candidate| candidate.load.in_flight() as u64).sum()
}

impl Most {
    pub(super) fn is_reached(&self, candidate: &Candidate) -> bool {
        let most = (self.0 * f64::from(candidate.weight)).ceil();
        candidate.load.in_flight() as f64 >= most
    }
}
