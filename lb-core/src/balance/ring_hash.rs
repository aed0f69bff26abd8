use super::{
    Balancer, Candidate, PickContext,
    hash::{mix, scale},
    slots::Slots,
};

/// Requests with the same hash to the same endpoint, by consistent hashing on a
/// ring (Karger et al., "Consistent Hashing and Random Trees", STOC 1997).
///
/// Every endpoint has points on the ring, as many as its weight says, and owns
/// what lies between each of them and the point before. One that leaves hands
/// its keys to all the others. One that is merely not ready does the same, moves
/// no other key, and gets its own back.
///
/// Up to 128 endpoints have 1,024 points each on average, which makes their
/// shares even within about 3 %; more endpoints share 131,072 points, and have at
/// least 8. Where one that comes or goes changes how many points the others have
/// (more than 128 endpoints, or unequal weights), about as many keys of theirs
/// move, too. Beyond 8,192 endpoints the table doubles with their number, and
/// some of all keys move when it does. [`Maglev`](super::Maglev) is more even and
/// moves more keys.
#[derive(Debug)]
pub struct RingHash(Slots);

/// Points of one endpoint, if there are few endpoints.
const POINTS: usize = 1024;
/// Points of all endpoints, if there are many.
const ALL_POINTS: usize = 1 << 17;
/// Points of one endpoint on average, however many there are.
const MIN_POINTS: usize = 8;

impl RingHash {
    /// A ring of all candidates.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self(Slots::new(owners(candidates)))
    }

    /// Keeps the requests in flight of each endpoint below `factor` times its
    /// fair share, such as 2; keys that would exceed that go to another one,
    /// always the same. A factor below 1, which can't be kept, counts as 1.
    #[must_use]
    pub fn bounded(self, factor: f64, candidates: &[Candidate]) -> Self {
        Self(self.0.bounded(factor, candidates))
    }
}

impl Balancer for RingHash {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.0.pick(candidates, cx)
    }
}

/// The ring as a table: each slot belongs to the first point at or after its
/// beginning.
fn owners(candidates: &[Candidate]) -> Vec<u32> {
    #[derive(Clone, Copy)]
    struct Point {
        at: u64,
        owner: u32,
    }
    const NONE: Point = Point { at: u64::MAX, owner: u32::MAX };

    let n = candidates.len();
    let Ok(count) = u32::try_from(n) else { return Vec::new() };
    if n == 0 {
        return Vec::new();
    }
    let slots = ALL_POINTS.max(2 * MIN_POINTS * n.next_power_of_two());
    let points = (POINTS * n).min(ALL_POINTS).max(MIN_POINTS * n) as u64;
    let weights: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();

    let mut first = vec![NONE; slots];
    for (candidate, owner) in candidates.iter().zip(0..count) {
        let share = u128::from(points) * u128::from(candidate.weight) / u128::from(weights);
        for point in 0..u64::try_from(share).unwrap_or(points).max(1) {
            let at = mix(candidate.hash, point);
            let slot = &mut first[scale(at, slots)];
            if at < slot.at {
                *slot = Point { at, owner };
            }
        }
    }
    // Beyond the last point the ring goes on with the first.
    let mut owner = first.iter().find(|point| point.owner != NONE.owner).map_or(0, |p| p.owner);
    let mut owners = vec![0; slots];
    for (slot, point) in first.iter().enumerate().rev() {
        if point.owner != NONE.owner {
            owner = point.owner;
        }
        owners[slot] = owner;
    }
    owners
}
