//! Services that do as they are told, and say what was asked of them.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::Instant;
use tower::{service_fn, util::BoxCloneSyncService};
use tower_service::Service;

use super::deadline::{Malformed, Timed};
use crate::{
    balance::{Algorithm, Attempts, Balance},
    discovery,
    load::Results,
};

/// What an endpoint says instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure(pub(super) &'static str);

/// A service whose answer is its own number.
pub(super) type Scripted = BoxCloneSyncService<u32, usize, Failure>;

/// One call that an endpoint got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) at: Instant,
    pub(super) request: u32,
    pub(super) endpoint: usize,
    /// How often the request had been sent before, to any endpoint.
    pub(super) nth: usize,
}

/// A cluster of endpoints numbered from 0.
pub(super) struct Endpoints {
    pub(super) balance: Balance<Scripted>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Endpoints {
    /// Of `n` endpoints that answer as `answer` says.
    pub(super) async fn new<F, A>(n: usize, algorithm: Algorithm, answer: F) -> Self
    where
        F: Fn(Call) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<usize, Failure>> + Send + 'static,
    {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&calls);
        let connect = move |_: &_, endpoint: &usize| {
            let (endpoint, answer, log) = (*endpoint, answer.clone(), Arc::clone(&log));
            Scripted::new(service_fn(move |request| {
                let mut log = log.lock().unwrap();
                let nth = log.iter().filter(|call: &&Call| call.request == request).count();
                let call = Call { at: Instant::now(), request, endpoint, nth };
                log.push(call);
                answer(call)
            }))
        };
        let (balance, driver) = Balance::new(discovery::fixed(0..n), connect, algorithm);
        driver.run().await;
        Self { balance, calls }
    }

    /// The balance, which panics when it isn't used as services have to be.
    pub(super) fn attempts(&self) -> Strict<Attempts<Scripted>> {
        Strict::new(self.balance.clone().attempts())
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The endpoints that `request` was sent to.
    pub(super) fn tried(&self, request: u32) -> Vec<usize> {
        self.calls()
            .iter()
            .filter(|call| call.request == request)
            .map(|call| call.endpoint)
            .collect()
    }

    pub(super) fn in_flight(&self) -> Vec<usize> {
        let cluster = self.balance.cluster().unwrap();
        cluster.members().iter().map(|member| member.load.in_flight()).collect()
    }

    pub(super) fn results(&self) -> Vec<Results> {
        let cluster = self.balance.cluster().unwrap();
        cluster.members().iter().map(|member| member.load.results()).collect()
    }
}

/// The requests of [`Endpoints`] carry no deadline.
impl Timed for u32 {
    fn deadline(&self) -> Result<Option<std::time::Instant>, Malformed> {
        Ok(None)
    }

    fn set_deadline(&mut self, _: std::time::Instant) {}
}

/// Panics when it is called without having been ready. A clone isn't ready.
#[derive(Debug)]
pub(super) struct Strict<S> {
    service: S,
    ready: bool,
}

impl<S> Strict<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, ready: false }
    }
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S: Service<Req>, Req> Service<Req> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let polled = self.service.poll_ready(cx);
        self.ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn call(&mut self, request: Req) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        self.service.call(request)
    }
}

pub(super) fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    future.now_or_never().is_none()
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
