//! One request, sent until an endpoint has answered it.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ::http::{Request, Response, request};
use hyper::body::Incoming;
use tokio::time;

use super::{
    body::RequestBody,
    error::Refusal,
    exchange::Carried,
    proxy::Shared,
    table::{Service, Target},
};
use crate::{
    balance::{PickContext, affinity},
    endpoint::EndpointId,
    load::{Lease, Outcome},
};

/// Endpoints that may break off one request before it is given up: a request
/// that kills whoever gets it must not go round them all.
const RESETS: usize = 2;

/// Connects that may fail for one request. Reached only where endpoints answer
/// probes and then refuse.
const CONNECTS: usize = 32;

/// Sends `request` to an endpoint of `service`.
///
/// What has not gone out is sent again, elsewhere if the endpoint could not be
/// reached. What has gone out is sent again only when its method says that
/// twice is as good as once, and it has no body. A pooled connection may have
/// been closed by the other side a moment ago; after one such surprise the
/// request gets new connections only.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    worker: usize,
    mut service: Arc<Service>,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Carried), Refusal> {
    let mut tried: Vec<EndpointId> = Vec::new();
    let hash = service.algorithm.hashes().then(|| affinity::source_of(request.headers())).flatten();
    let (mut resets, mut failed_connects) = (0, 0);
    let mut pooled = true;
    loop {
        let (target, lease) = match pick(&service, &mut tried, hash) {
            Some(picked) => picked,
            None => {
                service = wait(shared, service).await?;
                continue;
            }
        };
        let upstream = &target.upstream;
        let metrics = &service.shared.metrics;
        let limit = shared.options.connect_timeout;
        let connected = match pooled.then(|| upstream.pooled(worker)).flatten() {
            Some(connection) => Ok(connection),
            None => upstream.connect(limit, &metrics.connect).await,
        };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error) if !speaks_of_the_endpoint(&error) => {
                // Counted by its reason; a line for each would make it worse.
                tracing::debug!(%error, "can't open connections");
                return Err(Refusal::Exhausted);
            }
            Err(error) => {
                upstream.suspect(&error);
                lease.finish(Outcome::Failure);
                failed_connects += 1;
                if failed_connects == CONNECTS {
                    return Err(Refusal::NoEndpoint);
                }
                metrics.retried_connect.increment(1);
                tried.push(upstream.id.clone());
                continue;
            }
        };
        if upstream.is_retired() {
            // It left while we were connecting: who accepted may be another
            // container that has been given its address.
            metrics.retried_connect.increment(1);
            tried.push(upstream.id.clone());
            continue;
        }
        let spare = Spare::of(&request);
        match connection.send(request).await {
            Ok(response) => {
                return Ok((response, Carried { target, lease, connection: Some(connection) }));
            }
            Err(mut error) => {
                pooled = false;
                if let Some(unsent) = error.take_message() {
                    request = unsent;
                } else if error.error().is_user() {
                    return Err(Refusal::BadBody);
                } else if let Some(spare) = spare {
                    request = spare.request();
                } else {
                    return Err(Refusal::Reset);
                }
                if connection.reused {
                    // It was closed before it knew of this request.
                    drop(lease);
                    metrics.retried_stale.increment(1);
                } else {
                    lease.finish(Outcome::Failure);
                    metrics.retried_reset.increment(1);
                    tried.push(upstream.id.clone());
                }
                resets += 1;
                if resets > RESETS {
                    return Err(Refusal::Reset);
                }
            }
        }
    }
}

/// Whether a failed connect says something about the endpoint, and not about
/// what this process may open.
fn speaks_of_the_endpoint(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
    )
}

fn pick(
    service: &Service,
    tried: &mut Vec<EndpointId>,
    hash: Option<u64>,
) -> Option<(Target, Lease)> {
    let cx = PickContext::new().hash(hash);
    let (member, lease) = service.cluster.pick_untried(tried, &cx)?;
    Some((member.endpoint.target.clone(), lease))
}

/// Waits until an endpoint of the service is ready, and gives back the service
/// as it is by then.
async fn wait(shared: &Arc<Shared>, service: Arc<Service>) -> Result<Arc<Service>, Refusal> {
    let state = Arc::clone(&service.shared);
    let now = Instant::now();
    let waited = now.saturating_duration_since(state.unready_since(now));
    let left = shared.options.wait.saturating_sub(waited);
    if left.is_zero() {
        return Err(Refusal::NoEndpoint);
    }
    let _waiting = Waiting::begin(&service, shared.options.wait_limit)?;
    let found = async {
        loop {
            // Listen first, look second: a change in between is not missed.
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            // The host may have gone for good, or come back as another service.
            let host = &service.plan.host;
            let table = shared.table.load_full();
            let current = table.services.iter().find(|service| service.plan.host == *host);
            if let Some(service) = current
                && service.cluster.is_ready()
            {
                // It may have become so before we had noted that it was not.
                service.shared.ready();
                return Arc::clone(service);
            }
            changed.await;
        }
    };
    time::timeout(left, found).await.map_err(|_| Refusal::NoEndpoint)
}

/// One request in the queue of a service.
struct Waiting<'a>(&'a Service);

impl<'a> Waiting<'a> {
    fn begin(service: &'a Service, limit: usize) -> Result<Self, Refusal> {
        let waiting = &service.shared.waiting;
        let more = |n: usize| (n < limit).then_some(n + 1);
        let begun = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        begun.map(|_| Self(service)).map_err(|_| Refusal::QueueFull)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is needed to send a request a second time.
struct Spare(request::Parts);

impl Spare {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        use http_body::Body;
        if !request.method().is_idempotent() || !request.body().is_end_stream() {
            return None;
        }
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.headers = request.headers().clone();
        Some(Self(head))
    }

    fn request(self) -> Request<RequestBody> {
        Request::from_parts(self.0, RequestBody::empty())
    }
}
