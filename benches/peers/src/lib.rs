//! What is measured: the same endpoints for lb-core, tower and pingora.
//!
//! A pick of lb-core takes a lease and ends it. pingora's `select` hashes the
//! key itself, hands out a copy of the backend and counts nothing. tower picks
//! only on the way to a call, so its pick is a call to a service that answers
//! at once.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use lb_core::{
    Balance,
    balance::{Algorithm, Cluster, Member, PickContext},
    discovery,
    endpoint::Endpoint,
    load::Load,
};
use pingora_load_balancing::{
    LoadBalancer,
    selection::{BackendIter, BackendSelection, Consistent, FNVHash, Random, RoundRobin},
};
use tower::{
    Service, ServiceExt,
    balance::p2c,
    discover::ServiceList,
    load::{CompleteOnResponse, PeakEwma, PendingRequests},
};

/// Takes a function that makes a balancer over so many endpoints, as a function
/// that picks for a key.
pub trait Table {
    fn row<F: Fn(u64) + Sync>(&mut self, name: &str, make: impl Fn(usize) -> F);
}

/// Every algorithm whose picks threads can share.
pub fn picks(table: &mut impl Table) {
    for &algorithm in Algorithm::ALL {
        table.row(&format!("lb-core {algorithm}"), |endpoints| lb_core(algorithm, endpoints));
    }
    table.row("pingora RoundRobin", pingora::<RoundRobin>);
    table.row("pingora Random", pingora::<Random>);
    table.row("pingora FNVHash", pingora::<FNVHash>);
    table.row("pingora Consistent (Ketama)", pingora::<Consistent>);
}

fn lb_core(algorithm: Algorithm, endpoints: usize) -> impl Fn(u64) + Sync {
    let member = |n: usize| Member {
        id: format!("endpoint-{n}").into(),
        endpoint: Endpoint::new(n),
        load: Arc::new(Load::new(true)),
    };
    let cluster = Cluster::new((0..endpoints).map(member).collect(), &algorithm);
    move |key| {
        let cx = PickContext::new().hash(Some(key));
        drop(black_box(cluster.pick(&cx).expect("all are ready")));
    }
}

fn pingora<S>(endpoints: usize) -> impl Fn(u64) + Sync
where
    S: BackendSelection<Config: Sync, Iter: BackendIter> + Send + Sync + 'static,
{
    let address = |n: usize| format!("10.0.{}.{}:80", n / 256, n % 256);
    let balancer = LoadBalancer::<S>::try_from_iter((0..endpoints).map(address));
    let balancer = balancer.expect("these are addresses");
    // 256, the bound of the search, is what its examples say.
    move |key| drop(black_box(balancer.select(&key.to_le_bytes(), 256).expect("all are ready")))
}

/// lb-core as a tower service.
pub fn balance(algorithm: Algorithm, endpoints: usize) -> Balance<Echo> {
    let echoes = discovery::fixed(0..endpoints);
    let (balance, driver) = Balance::new(echoes, |_: &_, _: &_| Echo, algorithm);
    driver.run().now_or_never().expect("a fixed discovery ends at once");
    balance
}

type Tower<L> = p2c::Balance<ServiceList<Vec<L>>, u64>;

/// tower's balancer, by requests in flight.
pub fn pending(endpoints: usize) -> Tower<PendingRequests<Echo>> {
    let echo = || PendingRequests::new(Echo, CompleteOnResponse::default());
    p2c::Balance::new(ServiceList::new::<u64>((0..endpoints).map(|_| echo()).collect()))
}

/// tower's balancer, by the peak of latency, with the times of its example.
pub fn peak_ewma(endpoints: usize) -> Tower<PeakEwma<Echo>> {
    let (rtt, decay) = (Duration::from_millis(30), Duration::from_secs(10).as_secs_f64() * 1e9);
    let echo = || PeakEwma::new(Echo, rtt, decay, CompleteOnResponse::default());
    p2c::Balance::new(ServiceList::new::<u64>((0..endpoints).map(|_| echo()).collect()))
}

/// Sends one request to a service that answers at once, with no runtime between.
pub fn call<S: Service<u64>>(service: &mut S, request: u64) {
    let answer = async { service.ready().await?.call(black_box(request)).await }.now_or_never();
    black_box(answer.and_then(Result::ok).expect("every endpoint answers at once"));
}

/// A service that answers at once with what it was sent.
#[derive(Clone)]
pub struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// The nth of any number of keys, spread as hashes are.
pub fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What no figure means anything without.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{cores} cores, load {}", load.split(' ').next().unwrap_or("unknown"))
}
