use super::{
    Balancer, Candidate, PickContext,
    hash::{mix, scale},
    slots::Slots,
};

/// Requests with the same hash to the same endpoint, by highest random weight
/// (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates",
/// IEEE/ACM ToN 6(1), 1998).
///
/// Every endpoint has a score for every key, and the best one gets it. One that
/// leaves moves its own keys, one that comes takes an equal part from all, and
/// nothing else moves. Shares are nearly even, without the points of a ring.
///
/// Looking at all scores for every request would cost more the more endpoints
/// there are. So keys fall into 65,536 slots, more for more than 8,192 endpoints,
/// and the scores are compared once for each slot, when the balancer is built.
#[derive(Debug)]
pub struct Rendezvous(Slots);

const SLOTS: usize = 1 << 16;
/// Slots for each endpoint, at least.
const SLOTS_EACH: usize = 8;
/// When one slot in so many is left, the rest is scored one by one.
const FEW: usize = 1 << 14;

impl Rendezvous {
    /// Scores all candidates.
    pub fn new(candidates: &[Candidate]) -> Self {
        let slots = SLOTS.max(SLOTS_EACH * candidates.len().next_power_of_two());
        Self(Slots::new(owners(candidates, slots)))
    }

    /// Keeps the requests in flight of each endpoint below `factor` times its
    /// fair share, such as 1.25. A factor below 1, which can't be kept, counts
    /// as 1.
    #[must_use]
    pub fn bounded(self, factor: f64, candidates: &[Candidate]) -> Self {
        Self(self.0.bounded(factor, candidates))
    }
}

impl Balancer for Rendezvous {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.0.pick(candidates, cx)
    }
}

/// The best scores, found without working all of them out. Each candidate
/// throws darts at the slots at a rate that is its weight, and its score for a
/// slot is how early it hit it. Once all have thrown up to some time, a slot that
/// has been hit is decided. When few are left, all scores are compared for those
/// after all.
fn owners(candidates: &[Candidate], slots: usize) -> Vec<u32> {
    let weights: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
    if candidates.is_empty() {
        return Vec::new();
    }
    let mut best = vec![Hit { at: f64::INFINITY, owner: 0 }; slots];
    let mut free = slots;
    let mut throwers: Vec<_> = candidates.iter().zip(0..).map(Thrower::new).collect();
    let mut until = 0.0;
    while free > slots / FEW {
        // All together, one dart for every fourth slot.
        until += slots as f64 / 4.0 / weights;
        for thrower in &mut throwers {
            while thrower.next < until {
                let slot = &mut best[scale(thrower.dart, slots)];
                if slot.at.is_infinite() {
                    free -= 1;
                }
                if thrower.next < slot.at {
                    *slot = Hit { at: thrower.next, owner: thrower.owner };
                }
                thrower.throw();
            }
        }
    }
    let by_score = |slot: usize| {
        let score = |candidate: &Candidate| {
            // Exponential with the weight as its rate, so the least of them is
            // anyone's in proportion to the weight.
            let uniform = fraction(mix(candidate.hash, slot as u64));
            -(1.0 - uniform).ln() / f64::from(candidate.weight)
        };
        let scores = candidates.iter().zip(0..).map(|(one, owner)| (score(one), owner));
        scores.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, owner)| owner)
    };
    let decided = best.iter().enumerate();
    decided.map(|(slot, hit)| if hit.at.is_finite() { hit.owner } else { by_score(slot) }).collect()
}

/// The earliest dart to hit a slot.
#[derive(Clone, Copy)]
struct Hit {
    at: f64,
    owner: u32,
}

struct Thrower {
    owner: u32,
    hash: u64,
    /// Between two darts, on average.
    pause: f64,
    thrown: u64,
    dart: u64,
    /// When the dart is thrown.
    next: f64,
}

impl Thrower {
    fn new((candidate, owner): (&Candidate, u32)) -> Self {
        let pause = 1.0 / f64::from(candidate.weight);
        let mut thrower =
            Self { owner, hash: candidate.hash, pause, thrown: 0, dart: 0, next: 0.0 };
        thrower.throw();
        thrower
    }

    fn throw(&mut self) {
        self.dart = mix(self.hash, self.thrown);
        // Where it goes depends on the high bits, when on the low ones.
        let within = fraction(self.dart.rotate_left(32));
        self.next = (self.thrown as f64 + within) * self.pause;
        self.thrown += 1;
    }
}

/// From 0 to 1, without 1.
fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
