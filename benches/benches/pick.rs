//! What a pick costs, by algorithm and size of the cluster, alone and with the
//! lease that follows; what one changed endpoint costs; and what `Balance` adds to
//! calling a service.
#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::{
    convert::Infallible,
    future::ready,
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::{
    Balance, Change, Endpoint, EndpointId,
    balance::{Algorithm, BalancerFactory, Candidate, Cluster, Member, PickContext},
    discovery,
    load::{Load, Outcome},
};
use tower::{Service, service_fn};

fn members(endpoints: usize) -> impl Iterator<Item = Member<usize>> {
    (0..endpoints).map(|n| Member {
        id: format!("endpoint-{n}").into(),
        endpoint: Endpoint::new(n),
        load: Arc::new(Load::new(true)),
    })
}

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// The pick alone. Who wants to know the time is told.
fn pick(criterion: &mut Criterion) {
    let now = Instant::now();
    for &algorithm in Algorithm::ALL {
        let mut group = criterion.benchmark_group(format!("pick/{algorithm}"));
        for endpoints in SIZES {
            let candidates: Vec<_> = members(endpoints)
                .map(|member| Candidate::new(member.id, &member.endpoint, member.load))
                .collect();
            // Every endpoint has answered before.
            for candidate in &candidates {
                let lease = candidate.load.try_lease(1, Some(now));
                lease.expect("it is idle").finish_at(Outcome::Success, now + LATENCY);
            }
            let balancer = algorithm.build(&candidates);
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                let mut key = 0;
                bencher.iter(|| {
                    key += 1;
                    let cx = PickContext::new().at(now + LATENCY).hash(Some(key));
                    black_box(balancer.pick(&candidates, &cx).expect("all are ready"))
                });
            });
        }
    }
}

const LATENCY: Duration = Duration::from_millis(10);

/// The pick and the lease, from its beginning to its end, with all looks at the
/// clock.
fn lease(criterion: &mut Criterion) {
    for &algorithm in Algorithm::ALL {
        let mut group = criterion.benchmark_group(format!("lease/{algorithm}"));
        for endpoints in SIZES {
            let cluster = Cluster::new(members(endpoints).collect(), &algorithm);
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                let mut key = 0;
                bencher.iter(|| {
                    key += 1;
                    let cx = PickContext::new().hash(algorithm.hashes().then_some(key));
                    let (member, lease) = cluster.pick(&cx).expect("all are ready");
                    black_box(member.endpoint.target);
                    lease.finish(Outcome::Success);
                });
            });
        }
    }
}

/// One endpoint of many has changed: all that its driver does about it.
fn upsert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("upsert into 10000");
    group.sample_size(10);
    for &algorithm in Algorithm::ALL {
        let (changes, discovery) = discovery::channel();
        let connect = |_: &EndpointId, n: &usize| *n;
        let (balance, driver) = Balance::new(discovery, connect, algorithm);
        let mut driver = pin!(driver.run());
        let mut drive = || {
            let waits = driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(waits.is_pending(), "the driver goes on");
        };
        let set = (0..10_000).map(|n| (format!("endpoint-{n}").into(), Endpoint::new(n))).collect();
        changes.send(Change::Reset(set)).expect("the driver is there");
        drive();
        let mut weight = 1;
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| {
                weight = 3 - weight;
                let changed = Endpoint::new(7).weight(weight);
                changes.upsert("endpoint-7", changed).expect("the driver is there");
                drive();
            });
        });
        let cluster = balance.cluster().expect("discovery has spoken");
        assert_eq!(cluster.members().len(), 10_000);
    }
}

fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    let connect = |_: &EndpointId, _: &usize| service_fn(|n: u64| ready(Ok::<_, Infallible>(n)));
    let mut inner = connect(&"inner".into(), &0);
    group.bench_function("inner", |bencher| bencher.iter(|| answer(inner.call(black_box(1)))));
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::PeakEwma] {
        let (mut balance, driver) = Balance::new(discovery::fixed(0..10_usize), connect, algorithm);
        answer(driver.run());
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| answer(balance.call(black_box(1))));
        });
    }
}

/// What a future says that has nothing to wait for, without a runtime.
fn answer<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => black_box(answer),
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

criterion_group!(benches, pick, lease, upsert, call);
criterion_main!(benches);
