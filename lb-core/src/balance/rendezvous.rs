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
/// hardly anything else moves. Shares are nearly even, without the points of a
/// ring.
///
/// Looking at all scores for every request would cost more the more endpoints
/// there are. So keys fall into 65,536 slots, and the scores are compared once
/// for each slot, when the balancer is built. Beyond 16,384 endpoints the slots
/// double with their number, and half of all keys move when they do.
#[derive(Debug)]
pub struct Rendezvous(Slots);

const SLOTS: usize = 1 << 16;
/// Slots for each endpoint, at least.
const SLOTS_EACH: usize = 4;
/// When one slot in so many is left, the rest is scored one by one.
const FEW: usize = 1 << 14;

impl Rendezvous {
    /// Scores all candidates.
    pub fn new(candidates: &[Candidate]) -> Self {
        if candidates.is_empty() {
            return Self(Slots::new(Vec::new()));
        }
        let slots = SLOTS.max(SLOTS_EACH * candidates.len().next_power_of_two());
        Self(Slots::new(owners(candidates, slots)))
    }

    /// Keeps the requests in flight of each endpoint below `factor` times its
    /// fair share, such as 2. A factor below 1, which can't be kept, counts
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
    // By hash, so that a tie is broken the same way in every process.
    let mut order: Vec<u32> = (0..).take(candidates.len()).collect();
    order.sort_unstable_by_key(|&at| candidates[at as usize].hash);
    let weights: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
    let throwers = order.iter().map(|&at| &candidates[at as usize]);
    // All together throw as many darts in each round as there are slots.
    let round = slots as f64 / weights;
    let mut throwers: Vec<_> =
        (0..).zip(throwers).map(|(rank, one)| Thrower::new(rank, one, round)).collect();

    let mut hits = vec![Hit::NONE; slots];
    let mut free = slots;
    for rounds in 1..=MAX_ROUNDS {
        for thrower in &mut throwers {
            while thrower.next < rounds as f64 {
                let slot = &mut hits[scale(thrower.dart, slots)];
                free -= usize::from(*slot == Hit::NONE);
                *slot = (*slot).min(thrower.hit());
                thrower.throw();
            }
        }
        if free <= slots / FEW {
            break;
        }
    }
    let decided = hits.into_iter().enumerate();
    decided.map(|(slot, hit)| hit.owner(&order).unwrap_or_else(|| best(slot, candidates))).collect()
}

/// Enough for all slots but those that are left to [`best`]; a bound in case
/// that weights are so unequal that it isn't.
const MAX_ROUNDS: u32 = 16;

/// The earliest dart to hit a slot: when, and in the lower bits by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hit(u64);

impl Hit {
    const NONE: Self = Self(u64::MAX);
    const OWNER_BITS: u32 = 24;

    fn owner(self, order: &[u32]) -> Option<u32> {
        let rank = self.0 & ((1 << Self::OWNER_BITS) - 1);
        (self != Self::NONE).then(|| order[usize::try_from(rank).unwrap_or(0)])
    }
}

struct Thrower {
    rank: u64,
    hash: u64,
    /// Rounds between two darts, on average.
    pause: f64,
    thrown: u64,
    dart: u64,
    /// In which round the dart is thrown, and when in it.
    next: f64,
}

impl Thrower {
    fn new(rank: u64, candidate: &Candidate, round: f64) -> Self {
        let pause = 1.0 / (f64::from(candidate.weight) * round);
        let mut thrower = Self { rank, hash: candidate.hash, pause, thrown: 0, dart: 0, next: 0.0 };
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

    fn hit(&self) -> Hit {
        // Four bits of rounds and 35 within one: less than 40 altogether.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "39 bits")]
        let at = (self.next * (1_u64 << 35) as f64) as u64;
        Hit(at << Hit::OWNER_BITS | self.rank)
    }
}

/// Who has the best score of all for a slot. Scores are exponential with the
/// weight as their rate, so the least is anyone's in proportion to the weight.
fn best(slot: usize, candidates: &[Candidate]) -> u32 {
    let score = |candidate: &Candidate| {
        let uniform = fraction(mix(candidate.hash, slot as u64));
        -(1.0 - uniform).ln() / f64::from(candidate.weight)
    };
    let scores = candidates.iter().zip(0..).map(|(one, at)| (score(one), one.hash, at));
    let least = scores.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    least.map_or(0, |(_, _, at)| at)
}

/// From 0 to 1, without 1.
fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
