use std::{fmt, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, PickContext, priority};
use crate::{
    endpoint::{Endpoint, EndpointId},
    load::{Lease, Load, Timing},
};

/// A set of endpoints and the balancer built for it: an immutable snapshot.
///
/// Where endpoints have different [priorities](Endpoint::priority), each level
/// has a balancer of its own. A level gets all requests while enough of it is
/// ready (71 % of its weight), then a part in proportion, and the next level
/// gets the rest: [Envoy's rule][1], by weight instead of by number.
///
/// [1]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority
pub struct Cluster<T> {
    members: Vec<Member<T>>,
    candidates: Vec<Candidate>,
    balancer: Arc<dyn Balancer>,
    timing: Option<Timing>,
}

/// One endpoint of a [`Cluster`].
#[derive(Clone, Debug)]
pub struct Member<T> {
    /// Who it is.
    pub id: EndpointId,
    /// What its source says of it, and what requests are sent to.
    pub endpoint: Endpoint<T>,
    /// Its requests in flight and its readiness. Keep it from one snapshot to
    /// the next for as long as the endpoint is the same.
    pub load: Arc<Load>,
}

/// Picks tried in place of endpoints that are warming up, or that another
/// request has filled between pick and lease.
const REDRAWS: usize = 4;

impl<T> Cluster<T> {
    /// Builds a snapshot, and a balancer for it.
    pub fn new(members: Vec<Member<T>>, factory: &dyn BalancerFactory) -> Self {
        let candidates: Vec<_> = members
            .iter()
            .map(|member| {
                Candidate::new(member.id.clone(), &member.endpoint, Arc::clone(&member.load))
            })
            .collect();
        let balancer = priority::build(&candidates, factory);
        let timing = balancer.timing();
        if let Some(timing) = &timing {
            members.iter().for_each(|member| member.load.set_timing(timing));
        }
        Self { members, candidates, balancer, timing }
    }

    /// Picks a member for one request and counts the request against it, or
    /// `None` when `cx` allows no member.
    pub fn pick(&self, cx: &PickContext<'_>) -> Option<(&Member<T>, Lease)> {
        let started = self.timing.map(|_| cx.now());
        let cx = PickContext { now: started.or(cx.now), ..*cx };
        let mut redraws = REDRAWS;
        loop {
            let at = self.balancer.pick(&self.candidates, &cx)?;
            let member = self.members.get(at)?;
            // One that is warming up gives some of its turns to the others.
            if redraws > 0 && is_cold(&member.load) {
                redraws -= 1;
                continue;
            }
            match member.load.try_lease(cx.max_in_flight, started) {
                Some(lease) => return Some((member, lease)),
                None if redraws == 0 => return None,
                None => redraws -= 1,
            }
        }
    }

    /// The same, staying away from those `tried` before for as long as there are
    /// others. When there are none left, `tried` is emptied.
    pub fn pick_untried(
        &self,
        tried: &mut Vec<EndpointId>,
        cx: &PickContext<'_>,
    ) -> Option<(&Member<T>, Lease)> {
        let picked = self.pick(&cx.avoid(tried));
        if picked.is_some() || tried.is_empty() {
            return picked;
        }
        tried.clear();
        self.pick(cx)
    }

    /// How requests are timed, if the balancer asks for that.
    pub fn timing(&self) -> Option<Timing> {
        self.timing
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

/// Whether this turn is one that an endpoint gives up while it warms up.
#[inline]
fn is_cold(load: &Load) -> bool {
    let share = load.share();
    share < 256 && fastrand::u16(..256) >= share
}

impl<T: fmt::Debug> fmt::Debug for Cluster<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("members", &self.members).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Algorithm;

    fn cluster(n: usize) -> Cluster<usize> {
        let member = |i: usize| Member {
            id: i.to_string().into(),
            endpoint: Endpoint::new(i),
            load: Arc::new(Load::new(true)),
        };
        Cluster::new((0..n).map(member).collect(), &Algorithm::RoundRobin)
    }

    #[test]
    fn who_warms_up_gets_its_share_and_the_others_the_rest() {
        fastrand::seed(1);
        let cluster = cluster(4);
        cluster.members()[0].load.set_share(0.25);
        let mut counts = [0; 4];
        for _ in 0..40_000 {
            counts[cluster.pick(&PickContext::new()).unwrap().0.endpoint.target] += 1;
        }
        // A quarter of the others' turns, and no turn is lost.
        assert!((2_900..3_300).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts.iter().sum::<i32>(), 40_000);
    }

    #[test]
    fn who_warms_up_alone_gets_everything() {
        let cluster = cluster(1);
        cluster.members()[0].load.set_share(0.0);
        assert!(cluster.pick(&PickContext::new()).is_some());
    }

    #[test]
    fn none_is_tried_twice_while_another_is_left() {
        let cluster = cluster(3);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let (member, _lease) = cluster.pick_untried(&mut tried, &PickContext::new()).unwrap();
            assert!(!tried.contains(&member.id));
            tried.push(member.id.clone());
        }
        assert!(cluster.pick_untried(&mut tried, &PickContext::new()).is_some());
        assert!(tried.is_empty(), "it begins anew");
    }

    #[test]
    fn no_endpoint_gets_more_than_the_most() {
        let cluster = cluster(3);
        let cx = PickContext::new().max_in_flight(2);
        let leases: Vec<_> = std::iter::from_fn(|| Some(cluster.pick(&cx)?.1)).collect();
        assert_eq!(leases.len(), 6);
        assert!(cluster.members().iter().all(|member| member.load.in_flight() == 2));
    }
}
