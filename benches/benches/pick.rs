//! What a pick costs, by algorithm and size of the cluster, and what `Balance`
//! adds to calling a service.
#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::{convert::Infallible, future::ready, hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::{
    Balance, Endpoint, EndpointId,
    balance::{Algorithm, Cluster, Member, PickContext},
    discovery,
    load::Load,
};
use tower::{Service, service_fn};

fn cluster(algorithm: Algorithm, endpoints: usize) -> Cluster<usize> {
    let member = |n: usize| Member {
        id: format!("endpoint-{n}").into(),
        endpoint: Endpoint::new(n),
        load: Arc::new(Load::new(true)),
    };
    Cluster::new((0..endpoints).map(member).collect(), &algorithm)
}

fn pick(criterion: &mut Criterion) {
    for &algorithm in Algorithm::ALL {
        let mut group = criterion.benchmark_group(format!("pick/{algorithm}"));
        for endpoints in [10, 1_000, 10_000] {
            let cluster = cluster(algorithm, endpoints);
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                bencher.iter(|| {
                    let (member, lease) = cluster.pick(&PickContext::new()).expect("all are ready");
                    drop(black_box((member.endpoint.target, lease)));
                });
            });
        }
    }
}

fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut inner = service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    group.bench_function("inner", |bencher| {
        bencher.iter(|| runtime.block_on(inner.call(black_box(1))));
    });
    let connect = |_: &EndpointId, _: &usize| service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let (mut balance, driver) =
        Balance::new(discovery::fixed(0..10_usize), connect, Algorithm::LeastRequest);
    runtime.block_on(driver.run());
    group.bench_function("balance", |bencher| {
        bencher.iter(|| runtime.block_on(balance.call(black_box(1))));
    });
}

criterion_group!(benches, pick, call);
criterion_main!(benches);
