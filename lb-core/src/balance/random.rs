use super::{Balancer, Candidate, PickContext, draw::Draw};

/// Any candidate, each as likely as the others.
///
/// Needs no memory and no coordination, so any number of clients stay even
/// without knowing of each other. Over short times it is less even than taking
/// turns: of n requests to n endpoints, about a third of the endpoints get none.
#[derive(Debug)]
pub struct Random(Draw);

impl Random {
    /// Draws from the thread's `fastrand` generator, which tests can seed.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self(Draw::evenly(candidates))
    }
}

impl Balancer for Random {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.0.one(candidates, cx)
    }
}
