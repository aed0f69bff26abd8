use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{Balancer, Candidate, PickContext, hash::mix, slots::Slots};

/// Requests with the same hash to the same endpoint, by a table in which every
/// endpoint owns its share to the slot (Eisenbud et al., "Maglev: A Fast and
/// Reliable Software Network Load Balancer", NSDI 2016).
///
/// More even than [`RingHash`](super::RingHash). When an endpoint comes or goes
/// a few keys of others move as well: about one in a hundred. One that is merely
/// not ready moves only its own keys.
///
/// The table has 65,537 slots, and more than that for more than 5,461 endpoints;
/// where it grows, most keys move once.
#[derive(Debug)]
pub struct Maglev(Slots);

/// Primes, as every step between slots has to reach all of them.
const SIZES: [u64; 6] = [65_537, 131_101, 262_147, 1_048_583, 4_194_319, 16_777_259];

/// Slots for each endpoint, at least: shares differ by one slot.
const SLOTS_EACH: u64 = 12;

impl Maglev {
    /// A table of all candidates.
    pub fn new(candidates: &[Candidate]) -> Self {
        let enough = |size: &&u64| **size >= SLOTS_EACH * candidates.len() as u64;
        let size = SIZES.iter().find(enough).or(SIZES.last()).copied().unwrap_or(SIZES[0]);
        Self(Slots::new(owners(candidates, size)))
    }

    /// Keeps the requests in flight of each endpoint below `factor` times its
    /// fair share, such as 2; keys that would exceed that go to another one,
    /// always the same. A factor below 1, which can't be kept, counts as 1.
    #[must_use]
    pub fn bounded(self, factor: f64, candidates: &[Candidate]) -> Self {
        Self(self.0.bounded(factor, candidates))
    }
}

impl Balancer for Maglev {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.0.pick(candidates, cx)
    }
}

/// One candidate's way through the table: the slots in the order in which it
/// wants them.
struct Walk {
    owner: u32,
    hash: u64,
    slot: u64,
    step: u64,
}

/// The candidates take turns at taking the next free slot they want; those of
/// half the weight in every second round.
fn owners(candidates: &[Candidate], size: u64) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let mut by_weight: BTreeMap<Reverse<u32>, Vec<Walk>> = BTreeMap::new();
    for (candidate, owner) in candidates.iter().zip(0..) {
        by_weight.entry(Reverse(candidate.weight)).or_default().push(Walk {
            owner,
            hash: candidate.hash,
            slot: mix(candidate.hash, 1) % size,
            step: mix(candidate.hash, 2) % (size - 1) + 1,
        });
    }
    let Some((&Reverse(heaviest), _)) = by_weight.first_key_value() else { return Vec::new() };
    // The same table whatever the order of the candidates.
    by_weight.values_mut().for_each(|walks| walks.sort_unstable_by_key(|walk| walk.hash));

    let mut owners = vec![FREE; usize::try_from(size).unwrap_or(0)];
    let mut free = owners.len();
    // Those whose turn is in the earliest round, the heaviest of them first.
    let mut turns: BinaryHeap<_> =
        by_weight.keys().map(|&weight| (Reverse(0_u64), Reverse(weight), 0_u64)).collect();
    while let Some((_, Reverse(weight), taken)) = turns.pop() {
        for walk in by_weight.get_mut(&weight).into_iter().flatten() {
            let slot = walk.next_free(&owners, size, FREE);
            owners[slot] = walk.owner;
            free -= 1;
            if free == 0 {
                return owners;
            }
        }
        let round = ((taken + 1) * u64::from(heaviest)).div_ceil(u64::from(weight.0));
        turns.push((Reverse(round), Reverse(weight), taken + 1));
    }
    owners
}

impl Walk {
    /// There has to be one.
    fn next_free(&mut self, owners: &[u32], size: u64, free: u32) -> usize {
        loop {
            let slot = usize::try_from(self.slot).unwrap_or(0);
            self.slot += self.step;
            if self.slot >= size {
                self.slot -= size;
            }
            if owners[slot] == free {
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::test_support::weighted;

    #[test]
    fn sizes_are_prime() {
        for size in SIZES {
            let mut divisors = (2..).take_while(|divisor| divisor * divisor <= size);
            assert!(divisors.all(|divisor| size % divisor != 0), "{size}");
        }
    }

    #[test]
    fn shares_are_those_of_the_weights_to_the_slot() {
        let candidates = weighted([1, 2, 5]);
        let owners = owners(&candidates, 65_537);
        let share = |owner| owners.iter().filter(|&&one| one == owner).count() as f64;
        for (owner, weight) in [(0, 1.0), (1, 2.0), (2, 5.0)] {
            let expected = 65_537.0 * weight / 8.0;
            assert!((share(owner) - expected).abs() <= 2.0, "{owner}: {}", share(owner));
        }
    }
}
