use super::{Candidate, PickContext};

/// Draws candidates at random, each as often as its weight says.
///
/// The alias method: one random number, one look at a table, whatever the
/// weights (Vose, "A Linear Algorithm for Generating Random Numbers with a Given
/// Distribution", IEEE TSE 17(9), 1991).
#[derive(Debug)]
pub(super) struct Draw {
    n: usize,
    /// Empty where all weights are equal.
    columns: Box<[Column]>,
}

/// One of n equally likely columns: below the limit it stands for itself, above
/// for another.
#[derive(Clone, Copy, Debug)]
struct Column {
    limit: u32,
    other: u32,
}

/// Draws before a cluster with few allowed members is searched instead.
const DRAWS: usize = 16;

impl Draw {
    /// Every candidate as often as any other.
    pub(super) fn evenly(candidates: &[Candidate]) -> Self {
        Self { n: candidates.len(), columns: Box::default() }
    }

    pub(super) fn by_weight(candidates: &[Candidate]) -> Self {
        let n = candidates.len();
        let even = candidates.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let Ok(count) = u32::try_from(n) else { return Self::evenly(candidates) };
        if even {
            return Self::evenly(candidates);
        }
        // What each has of a column, in units of 1/n: the average is `full`.
        let full: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let mut parts: Vec<u128> = candidates
            .iter()
            .map(|candidate| u128::from(candidate.weight) * u128::from(count))
            .collect();
        let full = u128::from(full);
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|&at| parts[at as usize] < full);
        let mut columns: Vec<_> =
            (0..count).map(|at| Column { limit: u32::MAX, other: at }).collect();
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            let part = parts[less as usize];
            let limit = u32::try_from((part << 32) / full).unwrap_or(u32::MAX);
            columns[less as usize] = Column { limit, other: more };
            let left = &mut parts[more as usize];
            *left -= full - part;
            if *left < full {
                large.pop();
                small.push(more);
            }
        }
        Self { n, columns: columns.into() }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a product")]
    pub(super) fn draw(&self) -> usize {
        let product = u128::from(fastrand::u64(..)) * self.n as u128;
        let (at, within) = ((product >> 64) as usize, (product as u64 >> 32) as u32);
        match self.columns.get(at) {
            Some(column) if within >= column.limit => column.other as usize,
            _ => at,
        }
    }

    /// One that is allowed, or none if there is none.
    #[inline]
    pub(super) fn one(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        if self.n == 0 {
            return None;
        }
        (0..DRAWS)
            .map(|_| self.draw())
            .find(|&at| cx.allows(&candidates[at]))
            .or_else(|| self.any(candidates, |at| cx.allows(&candidates[at])))
    }

    /// Two different ones that are allowed, or the only one twice.
    #[inline]
    pub(super) fn two(
        &self,
        candidates: &[Candidate],
        cx: &PickContext<'_>,
    ) -> Option<(usize, usize)> {
        let first = self.one(candidates, cx)?;
        let second = (0..DRAWS)
            .map(|_| self.draw())
            .find(|&at| at != first && cx.allows(&candidates[at]))
            .or_else(|| self.any(candidates, |at| at != first && cx.allows(&candidates[at])));
        Some((first, second.unwrap_or(first)))
    }

    /// Looks at every candidate for those that fit, and takes each of them as
    /// often as it would be drawn.
    #[cold]
    fn any(&self, candidates: &[Candidate], fits: impl Fn(usize) -> bool) -> Option<usize> {
        let weight = |at: usize| if self.columns.is_empty() { 1 } else { candidates[at].weight };
        any(candidates, fits, weight)
    }
}

/// One of those that fit, each as often as its weight says: what is left when
/// drawing has found none, because most don't fit. A search from some place on
/// would give all the turns of a long gap to whoever stands at its end.
pub(super) fn any(
    candidates: &[Candidate],
    fits: impl Fn(usize) -> bool,
    weight: impl Fn(usize) -> u32,
) -> Option<usize> {
    let mut seen = 0;
    (0..candidates.len()).filter(|&at| fits(at)).fold(None, |taken, at| {
        let weight = u64::from(weight(at));
        seen += weight;
        if fastrand::u64(..seen) < weight { Some(at) } else { taken }
    })
}

#[cfg(test)]
mod tests {
    use crate::balance::{
        Algorithm, BalancerFactory,
        test_support::{candidates, counts},
    };

    #[test]
    fn few_that_are_left_share_evenly_wherever_they_stand() {
        for &algorithm in Algorithm::ALL {
            let candidates = candidates(1000);
            candidates[10..].iter().for_each(|one| _ = one.load.set_ready(false));
            let counts = counts(&*algorithm.build(&candidates), &candidates, 5_000);
            assert!(
                counts[..10].iter().all(|&n| (350..650).contains(&n)),
                "{algorithm} {counts:?}"
            );
        }
    }
}
