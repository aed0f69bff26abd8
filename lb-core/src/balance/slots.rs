use super::{
    Candidate, PickContext,
    bound::Bound,
    hash::{mix, scale},
};

/// The range of hashes cut into slots, each owned by one candidate: what every
/// hashing balancer comes down to once its rule for owners has been applied.
///
/// All candidates own slots, whether they are ready or not. Where an owner isn't
/// allowed, a key goes to its second choice, the owner of another slot, and comes
/// back later; so an endpoint that fails or recovers moves its own keys and no
/// others.
#[derive(Debug)]
pub(super) struct Slots {
    owners: Box<[u32]>,
    bound: Option<Bound>,
}

/// Choices of a key that are looked at before the candidates are searched.
const CHOICES: u64 = 32;

impl Slots {
    pub(super) fn new(owners: Vec<u32>) -> Self {
        Self { owners: owners.into(), bound: None }
    }

    pub(super) fn bounded(mut self, factor: f64, candidates: &[Candidate]) -> Self {
        self.bound = Some(Bound::new(factor, candidates));
        self
    }

    #[inline]
    pub(super) fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let n = self.owners.len();
        if n == 0 {
            return None;
        }
        // Keys need not be hashes: a user's number will do.
        let key = mix(cx.hash.unwrap_or_else(|| fastrand::u64(..)), 0);
        let most = self.bound.as_ref().map(|bound| bound.most(candidates));
        let has_room = |at: usize| match &most {
            Some(most) => !most.is_reached(&candidates[at]),
            None => true,
        };
        let owner = |hash: u64| self.owners[scale(hash, n)] as usize;
        let first = owner(key);
        if cx.allows(&candidates[first]) && has_room(first) {
            return Some(first);
        }
        let mut others = (1..CHOICES).map(|choice| owner(mix(key, choice)));
        others
            .find(|&at| cx.allows(&candidates[at]) && has_room(at))
            // Most of the cluster is crowded or down.
            .or_else(|| best(key, candidates, |at| cx.allows(&candidates[at]) && has_room(at)))
            .or_else(|| cx.allows(&candidates[first]).then_some(first))
            .or_else(|| best(key, candidates, |at| cx.allows(&candidates[at])))
    }
}

/// Of those that fit, the one with the highest random weight for this key.
#[cold]
fn best(key: u64, candidates: &[Candidate], fits: impl Fn(usize) -> bool) -> Option<usize> {
    (0..candidates.len()).filter(|&at| fits(at)).max_by_key(|&at| mix(candidates[at].hash, key))
}
