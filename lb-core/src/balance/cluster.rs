use std::{fmt, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, PickContext, census::Census, priority};
use crate::{
    endpoint::{Endpoint, EndpointId},
    load::{FULL_SHARE, Lease, Load, Timing},
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
    /// The members but for those of weight 0.
    candidates: Vec<Candidate>,
    /// Which member each candidate is, if that isn't the one at its place.
    places: Option<Box<[usize]>>,
    balancer: Arc<dyn Balancer>,
    timing: Option<Timing>,
    census: Census,
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

/// Picks tried in place of endpoints that are warming up, and of those that other
/// requests have filled between pick and lease.
const REDRAWS: usize = 4;

impl<T> Cluster<T> {
    /// Builds a snapshot, and a balancer for it. Members of weight 0 are never
    /// picked. Two of the same identity count as two.
    pub fn new(members: Vec<Member<T>>, factory: &dyn BalancerFactory) -> Self {
        let weighty = || (0..members.len()).filter(|&at| members[at].endpoint.weight > 0);
        let candidates: Vec<_> = weighty()
            .map(|at| &members[at])
            .map(|one| Candidate::new(one.id.clone(), &one.endpoint, Arc::clone(&one.load)))
            .collect();
        let places = (candidates.len() < members.len()).then(|| weighty().collect());
        let balancer = priority::build(&candidates, factory);
        let timing = balancer.timing();
        if let Some(timing) = &timing {
            members.iter().for_each(|member| member.load.set_timing(timing));
        }
        let census = Census::new(&candidates);
        Self { members, candidates, places, balancer, timing, census }
    }

    /// Picks a member for one request and counts the request against it, or
    /// `None` when `cx` allows no member; also when other threads have filled,
    /// time and again, the one that was picked.
    #[inline]
    pub fn pick(&self, cx: &PickContext<'_>) -> Option<(&Member<T>, Lease)> {
        let started = self.timing.map(|_| cx.now());
        let cx = PickContext { now: started.or(cx.now), ..*cx };
        let (mut cold, mut filled) = (0, 0);
        loop {
            let at = self.balancer.pick(&self.candidates, &cx)?;
            let member = self.members.get(self.place(at)?)?;
            // One that is warming up gives some of its turns to the others.
            if member.load.share() < FULL_SHARE && cold < REDRAWS && is_cold(&member.load) {
                cold += 1;
                continue;
            }
            match member.load.try_lease(cx.max_in_flight, started) {
                Some(lease) => return Some((member, lease)),
                None if filled == REDRAWS => return None,
                None => filled += 1,
            }
        }
    }

    /// The same, staying away from those `tried` before while there are others
    /// that are ready, though they may have no room. When all have been tried,
    /// any will do, and `tried` is emptied.
    pub fn pick_untried(
        &self,
        tried: &mut Vec<EndpointId>,
        cx: &PickContext<'_>,
    ) -> Option<(&Member<T>, Lease)> {
        let picked = self.pick(&cx.avoid(tried));
        let left = |one: &Candidate| one.load.is_ready() && !tried.contains(&one.id);
        if picked.is_some() || tried.is_empty() || self.candidates.iter().any(left) {
            return picked;
        }
        let picked = self.pick(cx)?;
        tried.clear();
        Some(picked)
    }

    /// The place of the member that requests with the hash of `cx` go to as things are.
    /// Nothing is counted against it, so asking leaves no trace. That is so for balancers
    /// that hash; of others this would take a turn.
    #[cfg(feature = "http")]
    pub(crate) fn owner(&self, cx: &PickContext<'_>) -> Option<usize> {
        self.place(self.balancer.pick(&self.candidates, cx)?)
    }

    /// Where among the members a candidate is.
    #[inline]
    fn place(&self, candidate: usize) -> Option<usize> {
        match &self.places {
            None => Some(candidate),
            Some(places) => places.get(candidate).copied(),
        }
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
        self.census.ready(&self.candidates) > 0.0
    }
}

/// Whether this turn is one that an endpoint gives up while it warms up.
#[cold]
fn is_cold(load: &Load) -> bool {
    fastrand::u16(..FULL_SHARE) >= load.share()
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
    fn one_of_weight_0_is_never_picked_and_nobody_counts_on_it() {
        for &algorithm in Algorithm::ALL {
            let member = |(at, weight): (usize, u32)| Member {
                id: at.to_string().into(),
                endpoint: Endpoint::new(at).weight(weight).priority(u32::from(at == 3)),
                load: Arc::new(Load::new(true)),
            };
            let members = [0, 1, 0, 1].into_iter().enumerate().map(member);
            let cluster = Cluster::new(members.collect(), &algorithm);
            for _ in 0..100 {
                let (member, _lease) = cluster.pick(&PickContext::new()).unwrap();
                assert_eq!(member.endpoint.target, 1, "{algorithm}: level 0 is whole");
            }
            let mut tried = vec!["1".into(), "3".into()];
            let picked = cluster.pick_untried(&mut tried, &PickContext::new());
            assert!(picked.is_some(), "{algorithm}: nobody waits for it either");
        }
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
    fn one_without_room_is_waited_for_before_one_is_tried_twice() {
        let cluster = cluster(2);
        let cx = PickContext::new().max_in_flight(1);
        let (member, lease) = cluster.pick_untried(&mut Vec::new(), &cx).unwrap();
        drop(lease);
        let mut tried = vec![member.id.clone()];
        let other = cluster.members().iter().find(|other| other.id != member.id).unwrap();
        let busy = other.load.lease();
        assert!(cluster.pick_untried(&mut tried, &cx).is_none());
        assert_eq!(tried.len(), 1, "and it is not forgotten");
        drop(busy);
        assert_eq!(cluster.pick_untried(&mut tried, &cx).unwrap().0.id, other.id);
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
