//! What every [`Balancer`](crate::balance::Balancer) and every
//! [`Discovery`] has to hold. Run them in the tests of your own:
//!
//! ```
//! use std::sync::Arc;
//! use lb_core::{balance::{Balancer, Candidate, PickContext}, testing::conformance};
//!
//! /// Always the first that will do.
//! struct First;
//!
//! impl Balancer for First {
//!     fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
//!         candidates.iter().position(|candidate| cx.allows(candidate))
//!     }
//! }
//!
//! conformance::balancer(&|_: &[Candidate]| Arc::new(First) as Arc<dyn Balancer>);
//! ```
//!
//! # Panics
//!
//! Each check panics where it finds a fault, and says which.
#![allow(clippy::panic, reason = "that is how a check fails")]

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Debug,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::time;

use crate::{
    balance::{BalancerFactory, Cluster, Member, PickContext},
    discovery::{Change, Discovery},
    endpoint::{Endpoint, EndpointId},
    load::Load,
};

/// A cluster of so many equal endpoints `e0`, `e1`, …, each its own target.
pub fn cluster(endpoints: usize, factory: &dyn BalancerFactory) -> Cluster<usize> {
    weighted_cluster(&vec![1; endpoints], factory)
}

/// The same, of these weights.
pub fn weighted_cluster(weights: &[u32], factory: &dyn BalancerFactory) -> Cluster<usize> {
    let member = |(at, &weight): (usize, &u32)| Member {
        id: format!("e{at}").into(),
        endpoint: Endpoint::new(at).weight(weight),
        load: Arc::new(Load::new(weight > 0)),
    };
    Cluster::new(weights.iter().enumerate().map(member).collect(), factory)
}

/// Picks what is allowed, finds it wherever it is, and finds none only where
/// there is none; with and without a hash, alone and on several threads.
pub fn balancer(factory: &dyn BalancerFactory) {
    let any = PickContext::new();
    assert!(cluster(0, factory).pick(&any).is_none(), "picked one of none");

    for n in [1, 2, 3, 17] {
        let cluster = cluster(n, factory);
        let members = cluster.members();
        let set_ready = |ready: &dyn Fn(usize) -> bool| {
            for member in members {
                member.load.set_ready(ready(member.endpoint.target));
            }
        };
        set_ready(&|_| false);
        for hash in hashes() {
            assert!(cluster.pick(&any.hash(hash)).is_none(), "picked one that isn't ready");
        }
        for only in 0..n {
            let others: Vec<_> = members
                .iter()
                .filter(|m| m.endpoint.target != only)
                .map(|m| m.id.clone())
                .collect();
            for hash in hashes() {
                set_ready(&|at| at == only);
                expect(&cluster, &any.hash(hash), only, "is ready");
                set_ready(&|_| true);
                expect(&cluster, &any.hash(hash).avoid(&others), only, "has not been tried");
                let busy: Vec<_> = members
                    .iter()
                    .filter(|member| member.endpoint.target != only)
                    .map(|member| member.load.lease())
                    .collect();
                expect(&cluster, &any.hash(hash).max_in_flight(1), only, "has room");
                drop(busy);
            }
        }
        let idle = members.iter().all(|member| member.load.in_flight() == 0);
        assert!(idle, "a request that has ended still counts");
    }

    let shared = cluster(8, factory);
    shared.members()[3].load.set_ready(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..1000 {
                    let picked = shared.pick(&any.hash(Some(key)));
                    let at = picked.map(|(member, _lease)| member.endpoint.target);
                    assert!(at.is_some_and(|at| at != 3), "picked {at:?} of 0 to 7 without 3");
                }
            });
        }
    });
}

fn hashes() -> impl Iterator<Item = Option<u64>> {
    [None, Some(0), Some(1), Some(u64::MAX), Some(0x9e37_79b9_7f4a_7c15)].into_iter()
}

fn expect(cluster: &Cluster<usize>, cx: &PickContext<'_>, only: usize, why: &str) {
    let picked = cluster.pick(cx).map(|(member, _lease)| member.endpoint.target);
    let n = cluster.members().len();
    assert_eq!(picked, Some(only), "of {n} endpoints only {only} {why}");
}

/// Gives each of some idle endpoints its share of 100,000 picks as its weight
/// says, within `tolerance`, where 0.01 is one pick in a hundred.
pub fn weights(factory: &dyn BalancerFactory, weights: &[u32], tolerance: f64) {
    let cluster = weighted_cluster(weights, factory);
    let mut counts = vec![0_u32; weights.len()];
    for _ in 0..100_000 {
        if let Some((member, _lease)) = cluster.pick(&PickContext::new()) {
            counts[member.endpoint.target] += 1;
        }
    }
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    for (&count, &weight) in counts.iter().zip(weights) {
        let (share, expected) = (f64::from(count) / 100_000.0, f64::from(weight) / total);
        let within = (share - expected).abs() <= tolerance;
        assert!(within, "weights {weights:?} got {counts:?} of 100,000 picks");
    }
}

/// Sends a key always to the same endpoint, in whatever order endpoints are
/// listed. Gives back the part of all keys that move when one of `endpoints`
/// leaves, on average; the least there can be is one in `endpoints`.
pub fn disruption(factory: &dyn BalancerFactory, endpoints: usize) -> f64 {
    const KEYS: u64 = 20_000;
    const SAMPLES: usize = 4;
    let owners = |members: Vec<Member<usize>>| -> Vec<Option<usize>> {
        let cluster = Cluster::new(members, factory);
        let owner =
            |key| Some(cluster.pick(&PickContext::new().hash(Some(key)))?.0.endpoint.target);
        (0..KEYS).map(owner).collect()
    };
    let all = cluster(endpoints, factory).members().to_vec();
    let before = owners(all.clone());
    assert_eq!(before, owners(all.clone()), "a key moved though nothing has changed");
    let reversed = owners(all.iter().rev().cloned().collect());
    assert_eq!(before, reversed, "owners depend on the order of the endpoints");
    let moved: usize = (0..SAMPLES)
        .map(|sample| {
            let mut rest = all.clone();
            rest.remove(sample * endpoints / SAMPLES);
            owners(rest).iter().zip(&before).filter(|(after, before)| after != before).count()
        })
        .sum();
    moved as f64 / (KEYS as f64 * SAMPLES as f64)
}

/// Says in time what is true: for each of `states`, `make` makes the world so,
/// and within ten seconds of tokio's time what the discovery has said so far adds
/// up to it. No change of the whole set names an endpoint twice.
pub async fn discovery<D, M>(
    discovery: D,
    states: Vec<Vec<(EndpointId, Endpoint<D::Target>)>>,
    mut make: M,
) where
    D: Discovery,
    D::Target: PartialEq + Debug,
    M: AsyncFnMut(usize),
{
    let mut discovery = pin!(discovery);
    let mut known = None;
    for (number, state) in states.into_iter().enumerate() {
        let state: BTreeMap<_, _> = state.into_iter().collect();
        make(number).await;
        let caught_up = async {
            while known.as_ref() != Some(&state) {
                match poll_fn(|cx| discovery.as_mut().poll_next(cx)).await {
                    Some(change) => apply(known.get_or_insert_default(), change),
                    None => break,
                }
            }
        };
        let in_time = time::timeout(Duration::from_secs(10), caught_up).await.is_ok();
        let end = if in_time { "its end" } else { "ten seconds" };
        assert_eq!(known.as_ref(), Some(&state), "state {number}, as it was known at {end}");
    }
}

fn apply<T>(known: &mut BTreeMap<EndpointId, Endpoint<T>>, change: Change<T>) {
    match change {
        Change::Reset(set) => {
            let ids: HashSet<_> = set.iter().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), set.len(), "a set names an endpoint twice");
            *known = set.into_iter().collect();
        }
        Change::Upsert(id, endpoint) => {
            known.insert(id, endpoint);
        }
        Change::Remove(id) => {
            known.remove(&id);
        }
    }
}
