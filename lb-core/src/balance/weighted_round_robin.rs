use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    sync::atomic::AtomicUsize,
};

use super::{Balancer, Candidate, PickContext, round_robin::take_turn};

/// Each candidate in turn, as often as its weight says, and never more often in
/// a row than it must: the sequence of nginx's smooth weighted round robin.
///
/// For weights 5, 1, 1 that is a a b a c a a, where a naive one would send five
/// requests in a row to a. The sequence repeats, so it is worked out when the
/// balancer is built, and a pick only takes the next turn. Turns of candidates
/// that aren't allowed are skipped.
///
/// One sequence is at most 32,768 turns long, or eight for each candidate if
/// that is more, and shorter where more than a hundred weights differ; weights
/// that would need a longer one are rounded to fit, and every candidate keeps at
/// least one turn. Source: nginx,
/// `ngx_http_upstream_round_robin.c`, as described in its commit 52327e0627f4.
#[derive(Debug)]
pub struct WeightedRoundRobin {
    turns: Box<[u32]>,
    next: AtomicUsize,
}

const MAX_TURNS: u64 = 32_768;
/// Turns times different weights: what working out a sequence may take.
const MAX_STEPS: u64 = 4_000_000;

impl WeightedRoundRobin {
    /// Starts at a random turn, so that many clients which start together don't
    /// all begin with the same endpoint.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self::starting_at(fastrand::usize(..), candidates)
    }

    /// Starts at the given turn of the sequence.
    pub fn starting_at(turn: usize, candidates: &[Candidate]) -> Self {
        Self { turns: sequence(candidates), next: AtomicUsize::new(turn) }
    }
}

impl Balancer for WeightedRoundRobin {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let turn = |ticket: usize| self.turns[ticket % self.turns.len()] as usize;
        take_turn(&self.next, self.turns.len(), turn, candidates, cx)
    }
}

/// Candidates of one weight. They take their turns one after the other, so what
/// is known of the next one is known of all.
struct Group {
    weight: i64,
    members: Vec<u32>,
    /// Which of them is next.
    next: usize,
    /// nginx's current weight of the next one.
    current: i64,
}

/// In each turn every candidate gains its weight; the first of those that have
/// most takes the turn and loses the sum of all weights. Looking at one of each
/// weight is enough.
fn sequence(candidates: &[Candidate]) -> Box<[u32]> {
    let mut by_weight: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (at, weight) in (0..).zip(fitting(candidates)) {
        by_weight.entry(weight).or_default().push(at);
    }
    let mut groups: Vec<_> = by_weight
        .into_iter()
        .map(|(weight, members)| Group { weight, members, next: 0, current: 0 })
        .collect();
    let total: i64 = groups.iter().map(|group| group.weight * group.members.len() as i64).sum();
    (0..total)
        .map_while(|_| {
            groups.iter_mut().for_each(|group| group.current += group.weight);
            let key = |group: &Group| (group.current, Reverse(group.members[group.next]));
            let best = groups.iter_mut().max_by_key(|group| key(group))?;
            let taken = best.members[best.next];
            best.next += 1;
            // Only once each of the group has had its turn is its next one any
            // poorer.
            if best.next == best.members.len() {
                best.next = 0;
                best.current -= total;
            }
            Some(taken)
        })
        .collect()
}

/// The weights without their common divisor, rounded if they are too long.
fn fitting(candidates: &[Candidate]) -> Vec<i64> {
    let mut weights: Vec<_> =
        candidates.iter().map(|candidate| u64::from(candidate.weight)).collect();
    reduce(&mut weights);
    let n = weights.len() as u64;
    let distinct = weights.iter().collect::<HashSet<_>>().len() as u64;
    let most = MAX_TURNS.max(8 * n).min(MAX_STEPS / distinct.max(1)).max(n);
    let total: u64 = weights.iter().sum();
    if total > most {
        for weight in &mut weights {
            let rounded = (u128::from(*weight) * u128::from(most) + u128::from(total) / 2)
                / u128::from(total);
            *weight = u64::try_from(rounded).unwrap_or(most).max(1);
        }
        reduce(&mut weights);
    }
    weights.into_iter().map(|weight| i64::try_from(weight).unwrap_or(i64::MAX)).collect()
}

fn reduce(weights: &mut [u64]) {
    let divisor = weights.iter().copied().reduce(greatest_common_divisor).unwrap_or(1).max(1);
    weights.iter_mut().for_each(|weight| *weight /= divisor);
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::test_support::weighted;

    fn picks(weights: &[u32], n: usize) -> Vec<usize> {
        let candidates = weighted(weights.iter().copied());
        let balancer = WeightedRoundRobin::starting_at(0, &candidates);
        (0..n).map(|_| balancer.pick(&candidates, &PickContext::new()).unwrap()).collect()
    }

    #[test]
    fn the_sequence_is_that_of_nginx() {
        assert_eq!(picks(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[10, 10, 10], 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn weights_that_are_too_long_are_rounded_and_none_is_lost() {
        let candidates = weighted([1, u32::MAX, u32::MAX / 3, 7]);
        let turns = sequence(&candidates);
        assert!(turns.len() <= 32_768 + 4, "{}", turns.len());
        assert!((0..4).all(|at| turns.contains(&at)));
    }

    proptest! {
        /// Word for word what nginx does, one candidate at a time.
        #[test]
        fn groups_change_nothing(weights in prop::collection::vec(1..20_u32, 1..12)) {
            let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
            let mut current = vec![0; weights.len()];
            let mut expected = Vec::new();
            for _ in 0..total {
                let mut best = 0;
                for at in 0..weights.len() {
                    current[at] += i64::from(weights[at]);
                    if current[at] > current[best] {
                        best = at;
                    }
                }
                current[best] -= total;
                expected.push(best);
            }
            prop_assert_eq!(picks(&weights, expected.len()), expected);
        }
    }
}
