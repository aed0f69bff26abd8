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
            .or_else(|| search(candidates, self.somewhere(), |at| cx.allows(&candidates[at])))
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
            .or_else(|| {
                search(candidates, self.somewhere(), |at| at != first && cx.allows(&candidates[at]))
            });
        Some((first, second.unwrap_or(first)))
    }

    fn somewhere(&self) -> usize {
        fastrand::usize(..self.n)
    }
}

/// The first from a position on, going round, that fits.
#[cold]
pub(super) fn search(
    candidates: &[Candidate],
    from: usize,
    fits: impl Fn(usize) -> bool,
) -> Option<usize> {
    (from..candidates.len()).chain(0..from).find(|&at| fits(at))
}
