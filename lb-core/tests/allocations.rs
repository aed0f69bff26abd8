//! What the path of a request allocates, counted for this thread alone.

use std::{convert::Infallible, future::ready, hint::black_box, sync::Arc};

use allocation_counter::measure;
use futures_util::FutureExt;
use lb_core::{
    Balance,
    balance::{
        Algorithm, Aperture, BalancerFactory, Cluster, Member, PickContext, ZoneAware, hash,
    },
    discovery,
    endpoint::Endpoint,
    load::{Lease, Load, Outcome},
};
use tower::{Service, ServiceExt, service_fn};

const TIMES: u32 = 10_000;
const SIZES: [usize; 2] = [10, 1_000];

/// In two zones and on two levels, for the balancers that care.
fn cluster(factory: &dyn BalancerFactory, endpoints: usize) -> Cluster<usize> {
    let member = |n: usize| Member {
        id: format!("endpoint-{n}").into(),
        endpoint: Endpoint::new(n)
            .zone(if n.is_multiple_of(2) { "a" } else { "b" })
            .priority(u32::from(n % 5 == 4)),
        load: Arc::new(Load::new(true)),
    };
    Cluster::new((0..endpoints).map(member).collect(), factory)
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(measure(|| drop(black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn neither_a_pick_nor_the_end_of_its_lease_allocates() {
    for &algorithm in Algorithm::ALL {
        picks_allocate_nothing(algorithm.name(), &algorithm);
    }
    picks_allocate_nothing("zone aware", &ZoneAware::new("a", Algorithm::LeastRequest));
    picks_allocate_nothing("aperture", &Aperture::new(0, 3, Algorithm::LeastRequest));
}

fn picks_allocate_nothing(name: &str, factory: &dyn BalancerFactory) {
    for endpoints in SIZES {
        let cluster = cluster(factory, endpoints);
        let mut leases = Vec::with_capacity(TIMES as usize);
        let picks = measure(|| {
            for n in 0..TIMES {
                let cx = PickContext::new().hash(Some(hash::of(&n.to_le_bytes())));
                leases.push(cluster.pick(&cx).map(|(_, lease)| lease));
            }
        });
        assert!(leases.iter().all(Option::is_some), "{name} picks");
        assert_eq!(picks.count_total, 0, "{name}, picks among {endpoints}");
        let finish = |lease: Lease| lease.finish(Outcome::Success);
        let ends = measure(|| leases.drain(..).flatten().for_each(finish));
        assert_eq!(ends.count_total, 0, "{name}, ends of leases among {endpoints}");
    }
}

#[test]
fn a_call_through_a_balance_allocates_nothing() {
    for &algorithm in Algorithm::ALL {
        for endpoints in SIZES {
            let connect = |_: &_, _: &_| service_fn(|n: u32| ready(Ok::<_, Infallible>(n)));
            let (mut balance, driver) =
                Balance::new(discovery::fixed(0..endpoints), connect, algorithm);
            driver.run().now_or_never().expect("a fixed discovery ends at once");
            let mut call = |n| {
                let answer = async { balance.ready().await?.call(n).await };
                assert_eq!(answer.now_or_never(), Some(Ok(n)));
            };
            // The first on a thread makes that thread known to arc-swap.
            call(0);
            let calls = measure(|| (0..TIMES).for_each(call));
            assert_eq!(calls.count_total, 0, "{algorithm}, calls among {endpoints}");
        }
    }
}
