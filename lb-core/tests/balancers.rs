//! What holds for every algorithm, whatever the cluster looks like.

use std::{collections::HashSet, sync::Arc};

use lb_core::{
    Endpoint, EndpointId,
    balance::{Algorithm, BalancerFactory, Candidate, PickContext},
    load::Load,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Shape {
    ready: bool,
    tried: bool,
    weight: u32,
    in_flight: usize,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape = (any::<bool>(), prop::bool::weighted(0.2), 1..=u32::MAX, 0..5_usize)
        .prop_map(|(ready, tried, weight, in_flight)| Shape { ready, tried, weight, in_flight });
    prop::collection::vec(shape, 0..40)
}

proptest! {
    /// A pick is allowed; and there is none only when nothing is allowed.
    #[test]
    fn picks_what_is_allowed_and_finds_it(shapes in shapes(), picks in 1..50_usize) {
        let candidates: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(i, shape)| {
                let endpoint = Endpoint::new(()).weight(shape.weight);
                let load = Arc::new(Load::new(shape.ready));
                Candidate::new(format!("e{i}").into(), &endpoint, load)
            })
            .collect();
        let leases: Vec<_> = candidates
            .iter()
            .zip(&shapes)
            .flat_map(|(candidate, shape)| (0..shape.in_flight).map(|_| candidate.load.lease()))
            .collect();
        let tried: Vec<EndpointId> = candidates
            .iter()
            .zip(&shapes)
            .filter(|(_, shape)| shape.tried)
            .map(|(candidate, _)| candidate.id.clone())
            .collect();
        let allowed: HashSet<usize> = shapes
            .iter()
            .enumerate()
            .filter(|(_, shape)| shape.ready && !shape.tried)
            .map(|(i, _)| i)
            .collect();

        for &algorithm in Algorithm::ALL {
            let balancer = algorithm.build(&candidates);
            for _ in 0..picks {
                match balancer.pick(&candidates, &PickContext::new().avoid(&tried)) {
                    Some(at) => prop_assert!(allowed.contains(&at), "{algorithm} picked {at}"),
                    None => prop_assert!(allowed.is_empty(), "{algorithm} found none"),
                }
            }
        }
        drop(leases);
        prop_assert!(candidates.iter().all(|candidate| candidate.load.in_flight() == 0));
    }
}
