use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use pin_project_lite::pin_project;
use tokio::{sync::Notify, time};
use tower::{
    load::{CompleteOnResponse, TrackCompletion},
    util::Oneshot,
};
use tower_service::Service;

use super::{BalancerFactory, Cluster, Driver, Error, PickContext};
use crate::{discovery::Discovery, endpoint::EndpointId, load::Lease};

/// Requests that find no endpoint ready wait this long, unless
/// [said otherwise](Balance::wait).
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// A tower service over a cluster of services: each request goes to the one its
/// balancer picks.
///
/// Cloning is cheap, and clones share everything. It is always ready: the pick
/// is made when the request is there, so nothing needs to be buffered in front.
/// While no endpoint is ready, requests wait, up to a [limit](Self::wait).
///
/// `C` says when a request has ended, for the count of requests in flight: by
/// default with its response. Where the response has a body that streams, use
/// [`complete_with`](Self::complete_with) and `http::OnBodyEnd`.
pub struct Balance<S, C = CompleteOnResponse> {
    shared: Arc<Shared<S>>,
    wait: Duration,
    completion: C,
}

impl<S> Balance<S> {
    /// A balance over what `discovery` finds, and the [`Driver`] that keeps it
    /// up to date.
    ///
    /// `connect` makes the service for one endpoint. It is called once for each
    /// endpoint, and again only when the endpoint's target has changed.
    /// `factory` is an [`Algorithm`](super::Algorithm) or a balancer of your own.
    pub fn new<D, F>(
        discovery: D,
        connect: F,
        factory: impl BalancerFactory + 'static,
    ) -> (Self, Driver<D, F, S>)
    where
        D: Discovery,
        D::Target: PartialEq,
        F: FnMut(&EndpointId, &D::Target) -> S,
        S: Clone,
    {
        let shared = Arc::new(Shared { cluster: ArcSwapOption::empty(), changed: Notify::new() });
        let driver = Driver::new(discovery, connect, Box::new(factory), Arc::clone(&shared));
        (Self { shared, wait: DEFAULT_WAIT, completion: CompleteOnResponse::default() }, driver)
    }
}

impl<S, C> Balance<S, C> {
    /// How long a request waits for an endpoint to become ready; 10 seconds
    /// unless set here, and 0 for not at all.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.wait = limit;
        self
    }

    /// Decides by `completion` when a request has ended.
    #[must_use]
    pub fn complete_with<D>(self, completion: D) -> Balance<S, D> {
        Balance { shared: self.shared, wait: self.wait, completion }
    }

    /// The endpoints as last published; `None` before discovery has spoken.
    pub fn cluster(&self) -> Option<Arc<Cluster<S>>> {
        self.shared.cluster.load_full()
    }
}

impl<S, C, Req> Service<Req> for Balance<S, C>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    C: TrackCompletion<Lease, S::Response> + Clone,
{
    type Response = C::Output;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, C, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let state = match self.shared.pick() {
            Some((service, lease)) => {
                FutureState::Calling { call: Oneshot::new(service, request), lease: Some(lease) }
            }
            None => FutureState::Waiting {
                picked: Box::pin(picked_within(Arc::clone(&self.shared), self.wait)),
                request: Some(request),
            },
        };
        ResponseFuture { state, completion: self.completion.clone() }
    }
}

impl<S, C: Clone> Clone for Balance<S, C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            wait: self.wait,
            completion: self.completion.clone(),
        }
    }
}

impl<S, C> fmt::Debug for Balance<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.shared.cluster.load().as_ref().map(|cluster| cluster.members().len());
        f.debug_struct("Balance").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}

/// Where a [`Driver`] and its [`Balance`] meet.
pub(super) struct Shared<S> {
    cluster: ArcSwapOption<Cluster<S>>,
    changed: Notify,
}

impl<S> Shared<S> {
    pub(super) fn publish(&self, cluster: Cluster<S>) {
        self.cluster.store(Some(Arc::new(cluster)));
        self.changed.notify_waiters();
    }
}

impl<S: Clone> Shared<S> {
    fn pick(&self) -> Option<(S, Lease)> {
        let cluster = self.cluster.load();
        let (member, lease) = cluster.as_ref()?.pick(&PickContext::new())?;
        Some((member.target.clone(), lease))
    }
}

/// Why a wait ended in vain.
enum Vain {
    NoEndpoints,
    NoneReady,
}

async fn picked_within<S: Clone>(
    shared: Arc<Shared<S>>,
    limit: Duration,
) -> Result<(S, Lease), Vain> {
    let pick = async {
        loop {
            // Listen first, look second: a change in between is not missed.
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            if let Some(picked) = shared.pick() {
                return picked;
            }
            changed.await;
        }
    };
    time::timeout(limit, pick).await.map_err(|_| match &*shared.cluster.load() {
        Some(cluster) if !cluster.members().is_empty() => Vain::NoneReady,
        _ => Vain::NoEndpoints,
    })
}

type Picked<S> = Pin<Box<dyn Future<Output = Result<(S, Lease), Vain>> + Send>>;

pin_project! {
    /// The answer to one request sent through a [`Balance`].
    pub struct ResponseFuture<S: Service<Req>, C, Req> {
        #[pin]
        state: FutureState<S, Req>,
        completion: C,
    }
}

pin_project! {
    #[project = FutureStateProj]
    enum FutureState<S: Service<Req>, Req> {
        Waiting { picked: Picked<S>, request: Option<Req> },
        Calling { #[pin] call: Oneshot<S, Req>, lease: Option<Lease> },
    }
}

impl<S, C, Req> Future for ResponseFuture<S, C, Req>
where
    S: Service<Req>,
    C: TrackCompletion<Lease, S::Response>,
{
    type Output = Result<C::Output, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                FutureStateProj::Waiting { picked, request } => {
                    let picked = ready!(picked.as_mut().poll(cx));
                    let (service, lease) = picked.map_err(|vain| match vain {
                        Vain::NoEndpoints => Error::NoEndpoints,
                        Vain::NoneReady => Error::NoneReady,
                    })?;
                    // Taken once: this arm is left for good below.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let call = Oneshot::new(service, request);
                    this.state.set(FutureState::Calling { call, lease: Some(lease) });
                }
                FutureStateProj::Calling { call, lease } => {
                    let response = ready!(call.poll(cx)).map_err(Error::Inner)?;
                    let Some(lease) = lease.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(this.completion.track_completion(lease, response)));
                }
            }
        }
    }
}

impl<S: Service<Req>, C, Req> fmt::Debug for ResponseFuture<S, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
