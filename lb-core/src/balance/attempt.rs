use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use tower::load::{CompleteOnResponse, TrackCompletion};
use tower_service::Service;

use super::{
    Balance, Cluster, Error, Member, PickContext, ResponseFuture,
    hash::{Key, Unkeyed},
};
use crate::{endpoint::EndpointId, load::Lease, sync::lock};

/// One of several attempts at the same request.
///
/// Attempts that share a [`Tried`] go to different endpoints for as long as
/// there are any that have not been tried.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt<Req> {
    /// What is sent.
    pub request: Req,
    /// What the request is kept together by, where the balance has no
    /// [key](Balance::hash_by) or is to be overruled.
    pub hash: Option<u64>,
    /// The endpoints tried so far. The one that is picked is added.
    pub tried: Tried,
}

impl<Req> Attempt<Req> {
    /// A first attempt.
    pub fn new(request: Req) -> Self {
        Self { request, hash: None, tried: Tried::new() }
    }

    /// Another attempt at the same request.
    pub fn again(&self, request: Req) -> Self {
        Self { request, hash: self.hash, tried: self.tried.clone() }
    }
}

/// The endpoints that the attempts at one request have gone to. Clones share it.
#[derive(Clone, Default)]
pub struct Tried(Arc<Mutex<Vec<EndpointId>>>);

impl Tried {
    /// Nothing has been tried.
    pub fn new() -> Self {
        Self::default()
    }

    /// The endpoints, in the order in which they were tried. When all have been,
    /// it begins anew.
    pub fn endpoints(&self) -> Vec<EndpointId> {
        self.lock().clone()
    }

    /// The endpoint that was tried last.
    pub fn last(&self) -> Option<EndpointId> {
        self.lock().last().cloned()
    }

    /// Picks, and adds what was picked.
    pub(super) fn pick<'c, T>(
        &self,
        cluster: &'c Cluster<T>,
        cx: &PickContext<'_>,
    ) -> Option<(&'c Member<T>, Lease)> {
        let mut tried = self.lock();
        let (member, lease) = cluster.pick_untried(&mut tried, cx)?;
        tried.push(member.id.clone());
        Some((member, lease))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<EndpointId>> {
        lock(&self.0)
    }
}

impl fmt::Debug for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tried").field(&*self.lock()).finish()
    }
}

/// A [`Balance`] that takes [`Attempt`]s: made by [`Balance::attempts`].
pub struct Attempts<S, C = CompleteOnResponse, K = Unkeyed>(pub(super) Balance<S, C, K>);

impl<S, C, K, Req> Service<Attempt<Req>> for Attempts<S, C, K>
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

    fn call(&mut self, attempt: Attempt<Req>) -> Self::Future {
        self.0.send(attempt.request, attempt.hash, Some(attempt.tried))
    }
}

impl<S, C: Clone, K: Clone> Clone for Attempts<S, C, K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, C, K> fmt::Debug for Attempts<S, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attempts").field(&self.0).finish()
    }
}
