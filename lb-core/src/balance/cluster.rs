use std::{fmt, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, PickContext};
use crate::{
    endpoint::EndpointId,
    load::{Lease, Load},
};

/// A set of endpoints and the balancer built for it: an immutable snapshot.
pub struct Cluster<T> {
    members: Vec<Member<T>>,
    candidates: Vec<Candidate>,
    balancer: Arc<dyn Balancer>,
}

/// One endpoint of a [`Cluster`].
#[derive(Clone, Debug)]
pub struct Member<T> {
    /// Who it is.
    pub id: EndpointId,
    /// Its share of requests; 0 for none.
    pub weight: u32,
    /// What requests are sent to.
    pub target: T,
    /// Its requests in flight and its readiness. Keep it from one snapshot to
    /// the next for as long as the endpoint is the same.
    pub load: Arc<Load>,
}

impl<T> Cluster<T> {
    /// Builds a snapshot, and a balancer for it.
    pub fn new(members: Vec<Member<T>>, factory: &dyn BalancerFactory) -> Self {
        let candidates: Vec<_> = members
            .iter()
            .map(|member| Candidate {
                id: member.id.clone(),
                weight: member.weight.max(1),
                load: Arc::clone(&member.load),
            })
            .collect();
        let balancer = factory.build(&candidates);
        Self { members, candidates, balancer }
    }

    /// Picks a member for one request and counts the request against it, or
    /// `None` when `cx` allows no member.
    pub fn pick(&self, cx: &PickContext<'_>) -> Option<(&Member<T>, Lease)> {
        let at = self.balancer.pick(&self.candidates, cx)?;
        let member = self.members.get(at)?;
        Some((member, member.load.lease()))
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> &[Member<T>] {
        &self.members
    }

    /// Whether any member may be picked.
    pub fn is_ready(&self) -> bool {
        self.members.iter().any(|member| member.load.is_ready())
    }
}

impl<T: fmt::Debug> fmt::Debug for Cluster<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("members", &self.members).finish_non_exhaustive()
    }
}
