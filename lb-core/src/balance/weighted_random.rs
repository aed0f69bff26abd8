use super::{Balancer, Candidate, PickContext, draw::Draw};

/// Any candidate, each as likely as its weight says.
///
/// What [`Random`](super::Random) is, for endpoints of different sizes. Picking
/// costs the same whatever the weights, by the alias method.
#[derive(Debug)]
pub struct WeightedRandom(Draw);

impl WeightedRandom {
    /// Draws from the thread's `fastrand` generator, which tests can seed.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self(Draw::by_weight(candidates))
    }
}

impl Balancer for WeightedRandom {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.0.one(candidates, cx)
    }
}
