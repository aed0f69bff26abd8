//! What holds for every algorithm, whatever the cluster looks like.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use lb_core::{
    Endpoint, EndpointId,
    balance::{
        Algorithm, Aperture, BalancerFactory, Candidate, Cluster, Maglev, Member, PickContext,
        Rendezvous, RingHash, ZoneAware,
    },
    load::{Load, Outcome},
    testing::{self, conformance},
};
use proptest::prelude::*;

type Factory = Box<dyn BalancerFactory>;

/// Every algorithm, and every way to combine them.
fn factories() -> Vec<(String, Factory)> {
    let bounded = |c: &[Candidate]| Arc::new(RingHash::new(c).bounded(1.25, c)) as _;
    let named = Algorithm::ALL.iter().map(|&one| (one.name().to_owned(), Box::new(one) as Factory));
    let combined: [(&str, Factory); 5] = [
        ("zone_aware", Box::new(ZoneAware::new("a", Algorithm::PeakEwma))),
        ("aperture", Box::new(Aperture::new(1, 3, Algorithm::LeastRequest).least(4))),
        ("bounded ring_hash", Box::new(bounded)),
        (
            "bounded maglev",
            Box::new(|c: &[Candidate]| Arc::new(Maglev::new(c).bounded(1.25, c)) as _),
        ),
        (
            "bounded rendezvous",
            Box::new(|c: &[Candidate]| Arc::new(Rendezvous::new(c).bounded(0.0, c)) as _),
        ),
    ];
    named.chain(combined.map(|(name, factory)| (name.to_owned(), factory))).collect()
}

fn member(i: usize, weight: u32) -> Member<usize> {
    Member {
        id: format!("e{i}").into(),
        endpoint: Endpoint::new(i).weight(weight),
        load: Arc::new(Load::new(weight > 0)),
    }
}

/// Who gets each of so many keys.
fn owners(cluster: &Cluster<usize>, keys: u64) -> Vec<EndpointId> {
    (0..keys)
        .map(|key| cluster.pick(&PickContext::new().hash(Some(key))).unwrap().0.id.clone())
        .collect()
}

#[derive(Clone, Debug)]
struct Shape {
    ready: bool,
    tried: bool,
    weight: u32,
    priority: u32,
    zone: Option<&'static str>,
    in_flight: usize,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let zones = prop::sample::select(vec![None, Some("a"), Some("b")]);
    let weights = prop_oneof![4 => 0..20_u32, 1 => any::<u32>()];
    let shape = (any::<bool>(), prop::bool::weighted(0.2), weights, 0..3_u32, zones, 0..5_usize)
        .prop_map(|(ready, tried, weight, priority, zone, in_flight)| Shape {
            ready: ready && weight > 0,
            tried,
            weight,
            priority,
            zone,
            in_flight,
        });
    prop::collection::vec(shape, 0..40)
}

/// Tables of many slots are built for each case.
const CASES: u32 = 16;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    /// A pick is allowed; and there is none only when nothing is allowed.
    #[test]
    fn picks_what_is_allowed_and_finds_it(shapes in shapes(), most in 3..9_usize, hash: u64) {
        for (name, factory) in factories() {
            let members: Vec<_> = shapes
                .iter()
                .enumerate()
                .map(|(i, shape)| {
                    let mut endpoint =
                        Endpoint::new(i).weight(shape.weight).priority(shape.priority);
                    endpoint.zone = shape.zone.map(Into::into);
                    let load = Arc::new(Load::new(shape.ready));
                    Member { id: format!("e{i}").into(), endpoint, load }
                })
                .collect();
            let leases: Vec<_> = members
                .iter()
                .zip(&shapes)
                .flat_map(|(member, shape)| (0..shape.in_flight).map(|_| member.load.lease()))
                .collect();
            let tried: Vec<EndpointId> = members
                .iter()
                .zip(&shapes)
                .filter(|(_, shape)| shape.tried)
                .map(|(member, _)| member.id.clone())
                .collect();
            let allowed: HashSet<usize> = (0..shapes.len())
                .filter(|&i| shapes[i].ready && !shapes[i].tried && shapes[i].in_flight < most)
                .collect();

            let cluster = Cluster::new(members, &*factory);
            let cx = PickContext::new().avoid(&tried).max_in_flight(most);
            for hash in [None, Some(hash), Some(0), Some(1), Some(u64::MAX)] {
                match cluster.pick(&cx.hash(hash)) {
                    Some((picked, _lease)) => {
                        let at = picked.endpoint.target;
                        prop_assert!(allowed.contains(&at), "{} picked {}", name, at);
                    }
                    None => prop_assert!(allowed.is_empty(), "{} found none", name),
                }
            }
            drop(leases);
            for member in cluster.members() {
                prop_assert_eq!(member.load.in_flight(), 0);
            }
        }
    }

    #[test]
    fn weights_are_respected(weights in prop::collection::vec(1..50_u32, 2..12), seed: u64) {
        testing::seed(seed);
        for &algorithm in Algorithm::ALL {
            let even = vec![1; weights.len()];
            let weights = match algorithm {
                _ if !algorithm.weighs() => &even,
                _ => &weights,
            };
            let tolerance = match algorithm {
                // What so many random points on a ring allow.
                Algorithm::RingHash => 4.0 * 0.5 / (1024.0 * weights.len() as f64).sqrt(),
                _ => 0.01,
            };
            conformance::weights(&algorithm, weights, tolerance);
        }
    }
}

#[test]
fn every_algorithm_conforms() {
    for (name, factory) in factories() {
        println!("{name}");
        conformance::balancer(&*factory);
    }
}

/// Of all keys, the part that has another owner after one of a hundred is gone.
#[test]
fn one_of_a_hundred_leaves_and_few_keys_move() {
    let limits =
        [(Algorithm::RingHash, 0.015), (Algorithm::Maglev, 0.03), (Algorithm::Rendezvous, 0.015)];
    for (algorithm, limit) in limits {
        let moved = conformance::disruption(&algorithm, 100);
        println!("{algorithm}: {:.2} % of all keys move", moved * 100.0);
        assert!(moved <= limit, "{algorithm}: {moved}");
    }
}

/// Built in steps that grow with the size of the table, not with it times how
/// much weights differ: each of these took seconds once, and would take minutes
/// here.
#[test]
fn weights_that_differ_much_build_in_time() {
    let shapes: [Vec<u32>; 3] = [
        (1..10_000).chain([u32::MAX]).collect(),
        (0..10_000).map(|n| if n < 400 { n + 1 } else { 1 }).collect(),
        [1, u32::MAX].into_iter().cycle().take(1000).collect(),
    ];
    for weights in shapes {
        for &algorithm in Algorithm::ALL {
            let cluster = conformance::weighted_cluster(&weights, &algorithm);
            assert!(cluster.pick(&PickContext::new()).is_some(), "{algorithm}");
        }
    }
}

#[test]
fn one_that_is_not_ready_moves_its_own_keys_only_and_gets_them_back() {
    for &algorithm in Algorithm::ALL.iter().filter(|algorithm| algorithm.hashes()) {
        let cluster = conformance::cluster(20, &algorithm);
        let before = owners(&cluster, 10_000);
        let load = &cluster.members()[7].load;
        load.set_healthy(false);
        let meanwhile = owners(&cluster, 10_000);
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert_eq!(before != meanwhile, before.as_str() == "e7", "{algorithm}");
        }
        let heirs: HashSet<_> = before
            .iter()
            .zip(&meanwhile)
            .filter(|(before, meanwhile)| before != meanwhile)
            .map(|(_, heir)| heir)
            .collect();
        assert!(heirs.len() >= 15, "{algorithm}: all the others share them, not {}", heirs.len());
        load.set_healthy(true);
        assert_eq!(owners(&cluster, 10_000), before, "{algorithm}");
    }
}

#[test]
fn a_key_that_everybody_asks_for_is_shared_when_loads_are_bounded() {
    for (name, factory) in factories().into_iter().filter(|(name, _)| name.starts_with("bounded")) {
        // Ten that are ready, and ten that are down.
        let cluster = conformance::cluster(20, &*factory);
        cluster.members()[10..].iter().for_each(|member| _ = member.load.set_healthy(false));
        let cx = PickContext::new().hash(Some(42));
        let leases: Vec<_> = (0..1000).map(|_| cluster.pick(&cx).unwrap().1).collect();
        let busiest = cluster.members().iter().map(|member| member.load.in_flight()).max();
        // A quarter more than a tenth; the last bound has no room but its share.
        assert!(busiest <= Some(126), "{name}: {busiest:?}");
        drop(leases);
        let owner = || cluster.pick(&cx).map(|(owner, _lease)| &owner.id);
        assert_eq!(owner(), owner(), "{name}");
    }
}

/// A million steps of everything that can happen to a cluster, for each
/// algorithm its part.
#[test]
fn random_churn_leaves_nothing_behind() {
    let factories = factories();
    let steps = 1_000_000 / factories.len();
    for (name, factory) in factories {
        let mut random = fastrand::Rng::with_seed(99);
        let mut members: Vec<Member<usize>> = Vec::new();
        let mut gone: Vec<Arc<Load>> = Vec::new();
        let mut leases = Vec::new();
        let mut current = Cluster::new(members.clone(), &*factory);
        let (mut now, mut made) = (Instant::now(), 0);
        for _ in 0..steps {
            now += Duration::from_micros(random.u64(..2000));
            match random.u32(..4000) {
                0 => {
                    made += 1;
                    let mut new = member(made, random.u32(..5));
                    new.endpoint.priority = random.u32(..2);
                    new.endpoint.zone = random.bool().then(|| "a".into());
                    members.push(new);
                    current = Cluster::new(members.clone(), &*factory);
                }
                1 if !members.is_empty() => {
                    let left = members.swap_remove(random.usize(..members.len()));
                    left.load.set_ready(false);
                    gone.push(left.load);
                    current = Cluster::new(members.clone(), &*factory);
                }
                2..200 if !members.is_empty() => {
                    let member = &members[random.usize(..members.len())];
                    match random.u32(..5) {
                        0 => member.load.set_healthy(random.bool()),
                        1 => member.load.set_ejected(random.bool()),
                        2 => member.load.set_panic(random.bool()),
                        3 => member.load.set_ready(random.bool() && member.endpoint.weight > 0),
                        _ => {
                            member.load.set_share(random.f64());
                            false
                        }
                    };
                }
                200..2200 => {
                    let tried = members.first().map(|member| member.id.clone());
                    let cx = PickContext::new()
                        .at(now)
                        .hash(random.bool().then(|| random.u64(..)))
                        .max_in_flight(random.usize(1..50))
                        .avoid(tried.as_slice());
                    match current.pick(&cx) {
                        Some((picked, lease)) => {
                            assert!(picked.load.is_ready(), "{name} picked who isn't ready");
                            leases.push(lease);
                        }
                        None => assert!(
                            !members.iter().any(|member| member.load.is_ready()
                                && member.load.in_flight() < cx.max_in_flight
                                && Some(&member.id) != tried.as_ref()),
                            "{name} found none"
                        ),
                    }
                }
                _ if !leases.is_empty() => {
                    let lease = leases.swap_remove(random.usize(..leases.len()));
                    match random.u32(..4) {
                        0 => lease.finish_at(Outcome::Success, now),
                        1 => lease.finish_at(Outcome::Failure, now),
                        2 => lease.finish_at(Outcome::RetryAfter(Duration::from_secs(1)), now),
                        _ => drop(lease),
                    }
                }
                _ => {}
            }
        }
        drop(leases);
        drop(current);
        for load in members.iter().map(|member| &member.load).chain(&gone) {
            assert_eq!(load.in_flight(), 0, "{name}");
        }
        for load in gone {
            assert_eq!(Arc::strong_count(&load), 1, "{name} keeps an endpoint that is gone");
        }
    }
}
