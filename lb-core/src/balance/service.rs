use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower::{
    load::{CompleteOnResponse, TrackCompletion},
    util::Oneshot,
};
use tower_service::Service;

use super::{
    Attempts, BalancerFactory, Cluster, Driver, Error, Tried,
    hash::{Key, Unkeyed},
    shared::{Limits, Picked, Shared, Wanted},
};
use crate::{
    discovery::Discovery,
    endpoint::EndpointId,
    load::{Lease, Outcome},
};

/// A tower service over a cluster of services: each request goes to the one its
/// balancer picks.
///
/// Cloning is cheap, and clones share all but how long and in how long a queue
/// their requests wait. It is always ready: the pick
/// is made when the request is there, so nothing needs to be buffered in front.
/// While no endpoint is ready, or none has [room](Self::max_in_flight), requests
/// [wait](Self::wait) in a bounded [queue](Self::queue).
///
/// `C` says when a request has ended and how: by default with its response,
/// successfully unless that is an error. An error always counts as a failure of
/// the endpoint; where a service has errors that are none of its fault, make
/// responses of them before, with `map_result`. For HTTP and gRPC use
/// [`complete_with`](Self::complete_with) and `load::OnBodyEnd` (feature
/// `http-types`): an answer has not ended before its body has, and one of status
/// 500 is no error to Rust. `K` says which requests are to be kept together, see
/// [`hash_by`](Self::hash_by).
pub struct Balance<S, C = CompleteOnResponse, K = Unkeyed> {
    shared: Arc<Shared<S>>,
    limits: Limits,
    completion: C,
    key: K,
}

impl<S> Balance<S> {
    /// A balance over what `discovery` finds, and the [`Driver`] that keeps it
    /// up to date once it [runs](Driver::run).
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
        D::Target: Clone + PartialEq + Send + Sync + 'static,
        F: FnMut(&EndpointId, &D::Target) -> S,
        S: Clone + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared::new());
        let driver = Driver::new(discovery, connect, Box::new(factory), &shared);
        let balance = Self {
            shared,
            limits: Limits::default(),
            completion: CompleteOnResponse::default(),
            key: Unkeyed,
        };
        (balance, driver)
    }
}

impl<S, C, K> Balance<S, C, K> {
    /// How long a request waits for an endpoint; 10 seconds unless set here, and
    /// 0 for not at all.
    ///
    /// While no endpoint is ready the time counts from when a request first found
    /// it so. After an outage of this length requests fail at once, until an
    /// endpoint is ready again.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Self {
        self.limits.wait = limit;
        self
    }

    /// How many requests may wait; 1,024 unless set here. One more gets
    /// [`Error::Overloaded`] at once.
    #[must_use]
    pub fn queue(mut self, limit: usize) -> Self {
        self.limits.queue = limit;
        self
    }

    /// How many requests an endpoint may have in flight, from this balance and
    /// all its clones; no limit unless set here, and at least 1. Requests that
    /// wait for room get it in the order in which they came.
    ///
    /// An endpoint without room is not picked. This is what
    /// `tower::limit::ConcurrencyLimit` around each endpoint can't do: it lets a
    /// request wait behind the endpoint that was picked while others are idle.
    #[must_use]
    pub fn max_in_flight(self, limit: usize) -> Self {
        self.shared.set_max_in_flight(limit.max(1));
        self
    }

    /// Decides by `completion` when a request has ended, and how.
    #[must_use]
    pub fn complete_with<D>(self, completion: D) -> Balance<S, D, K> {
        Balance { shared: self.shared, limits: self.limits, completion, key: self.key }
    }

    /// Keeps together the requests for which `key` gives the same hash, where
    /// the algorithm is one that [hashes](super::Algorithm::hashes).
    #[must_use]
    pub fn hash_by<L>(self, key: L) -> Balance<S, C, L> {
        Balance { shared: self.shared, limits: self.limits, completion: self.completion, key }
    }

    /// The same balance for [attempts](super::Attempt), which know what was
    /// tried before: what retries and hedges need.
    pub fn attempts(self) -> Attempts<S, C, K> {
        Attempts(self)
    }

    /// The endpoints as last published; `None` before discovery has spoken.
    pub fn cluster(&self) -> Option<Arc<Cluster<S>>> {
        self.shared.cluster()
    }

    /// Has waiting requests look again: for who changes a
    /// [`Load`](crate::load::Load) himself. The driver does it for all it changes.
    pub fn wake(&self) {
        self.shared.wake();
    }

    #[cold]
    fn picked(&self, wanted: Wanted) -> Waiting<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Box::pin(Arc::clone(&self.shared).picked(wanted, self.limits))
    }

    #[inline]
    pub(super) fn send<Req>(
        &self,
        request: Req,
        hash: Option<u64>,
        tried: Option<Tried>,
    ) -> ResponseFuture<S, C, Req>
    where
        S: Service<Req> + Clone + Send + Sync + 'static,
        C: Clone,
        K: Key<Req>,
    {
        let hash = hash.or_else(|| self.key.hash(&request));
        let wanted = Wanted { hash, tried };
        let state = match self.shared.pick(&wanted) {
            Some((service, lease)) => {
                FutureState::Calling { call: Oneshot::new(service, request), lease: Some(lease) }
            }
            None => FutureState::Waiting { picked: self.picked(wanted), request: Some(request) },
        };
        ResponseFuture { state, completion: self.completion.clone() }
    }
}

impl<S, C, K, Req> Service<Req> for Balance<S, C, K>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    C: TrackCompletion<Lease, S::Response> + Clone,
    K: Key<Req>,
{
    type Response = C::Output;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, C, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.send(request, None, None)
    }
}

impl<S, C: Clone, K: Clone> Clone for Balance<S, C, K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            limits: self.limits,
            completion: self.completion.clone(),
            key: self.key.clone(),
        }
    }
}

impl<S, C, K> fmt::Debug for Balance<S, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.shared.cluster().map(|cluster| cluster.members().len());
        f.debug_struct("Balance")
            .field("endpoints", &endpoints)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

type Waiting<S> = Pin<Box<dyn Future<Output = Picked<S>> + Send>>;

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
        Waiting { picked: Waiting<S>, request: Option<Req> },
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
                    let (service, lease) = ready!(picked.as_mut().poll(cx))?;
                    // Taken once: this arm is left for good below.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let call = Oneshot::new(service, request);
                    this.state.set(FutureState::Calling { call, lease: Some(lease) });
                }
                FutureStateProj::Calling { call, lease } => {
                    let result = ready!(call.poll(cx));
                    let Some(mut lease) = lease.take() else { return Poll::Pending };
                    return Poll::Ready(match result {
                        Ok(response) => {
                            lease.record(Outcome::Success);
                            Ok(this.completion.track_completion(lease, response))
                        }
                        Err(error) => {
                            lease.finish(Outcome::Failure);
                            Err(Error::Inner(error))
                        }
                    });
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
