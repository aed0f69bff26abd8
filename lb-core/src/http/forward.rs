//! One request, sent until an endpoint has answered it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tokio::time;

use super::{
    body::{RequestBody, Stopped},
    client::Client,
    connection::{Connection, speaks_of_the_endpoint},
    error::Refusal,
    exchange::{Carried, Exchange},
    outgoing::{Kept, Outgoing},
    progress::Progress,
    proxy::Shared,
    queue,
    table::{Service, Target},
    trace::why_not_connected,
    unanswered::Unanswered,
    upstream::{Admission, Trial, Upstream},
};
use crate::{
    balance::{PickContext, affinity},
    clock,
    endpoint::EndpointId,
    load::{Lease, Outcome},
    resilience::budget::TokenBudget,
};

/// Times a request may be sent again after it had gone out: one that kills
/// whoever gets it must not go round them all. Those who were told to leave don't
/// count.
const REPEATS: usize = 2;

/// The same, whoever it was: many may leave at once.
const REPEATS_AT_MOST: usize = 32;

/// How long the news that somebody was told to leave takes to get here: an app
/// that exits at once is gone before.
const NEWS: Duration = Duration::from_millis(10);

/// Connects that may fail for one request. Reached only where endpoints answer
/// probes and then refuse.
const CONNECTS: usize = 32;

/// Sends `request` to an endpoint of `service`.
///
/// What has not gone out is sent again, elsewhere if the endpoint could not be
/// reached, and costs nobody anything. What has gone out is sent again only when
/// its method says that twice is as good as once, all of its body was kept, and
/// the service's budget has room for it; or when the endpoint says that it has done
/// nothing about it, whatever the method. (That it has not asked for the body says
/// nothing: the head may be all it needed.) A pooled connection may have been closed by
/// the other side a moment ago; after one such surprise the request gets newer
/// connections only.
pub(super) async fn forward(
    shared: &Shared,
    client: &Arc<Client>,
    mut service: Arc<Service>,
    request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<(Response<Incoming>, Carried), Refusal> {
    let worker = exchange.worker();
    let hash = key(&service, request.headers());
    let may_refuse = service.speaks_http2 || exchange.expectation().is_some();
    let mut request = Outgoing::new(request, service.options.replay_limit, may_refuse);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut broke: Vec<Arc<Upstream>> = Vec::new();
    let mut failed_connects = 0;
    let mut surprised = None;
    let mut started = exchange.started();
    service.budget.deposit_at(started);
    loop {
        if started != exchange.started() {
            // Others may be there by now.
            let table = shared.table.load();
            if let Some(current) = table.service(&service.plan.host) {
                service = Arc::clone(current);
            }
        }
        let repeatable = request.is_repeatable();
        let picked = pick(&service, &mut tried, hash, repeatable);
        let Some((target, lease, _trial)) = picked else {
            service = queue::wait(shared, service).await?;
            started = clock::now();
            continue;
        };
        let (upstream, metrics) = (&target.upstream, &service.shared.metrics);
        exchange.attempted(upstream, started);
        let mut handed = started;
        let connected = match upstream.pooled(worker, client, repeatable, surprised) {
            Some(connection) => {
                exchange.reuses();
                Ok(connection)
            }
            None => {
                let options = &service.options;
                let connected =
                    upstream.connect(worker, client, options, surprised, &metrics.connect).await;
                handed = clock::now();
                if connected.is_ok() {
                    exchange.connected(handed.saturating_duration_since(started));
                }
                connected
            }
        };
        // It may have left, or been told to, while we were connecting: who
        // accepted may be another container that has been given its address.
        let gone = upstream.is_retired() || !upstream.load.is_wanted();
        let mut connection: Connection = match connected {
            Ok(connection) if !gone => connection,
            Err(error) if !gone && !speaks_of_the_endpoint(&error) => {
                // Counted by its reason; a line for each would make it worse.
                tracing::debug!(%error, "can't open connections");
                return Err(Refusal::Exhausted);
            }
            failed => {
                exchange.gave_up(failed.as_ref().err().map_or("left", why_not_connected));
                if let (Err(error), false) = (failed, gone) {
                    // It is left alone until it accepts, and no longer than that:
                    // not a failure for which it would be ejected.
                    upstream.suspect(&error);
                }
                drop(lease);
                failed_connects += 1;
                if failed_connects == CONNECTS {
                    return Err(Refusal::NoEndpoint);
                }
                metrics.retried_connect.increment(1);
                tried.push(upstream.id.clone());
                started = clock::now();
                continue;
            }
        };
        let Some(mut outgoing) = request.take() else { return Err(Refusal::Reset) };
        exchange.listen(&mut outgoing, connection.is_shared());
        exchange.names_its_span(outgoing.headers_mut());
        let kept = request.kept();
        let patience =
            Waits { started, limit: exchange.timeouts().answer, body: exchange.progress() };
        let may_leave = repeatable && broke.len() < REPEATS;
        let leave = may_leave.then_some(Leave { kept, budget: &service.budget });
        let asked = upstream.ask(worker, &mut connection, outgoing, patience, leave);
        let unanswered = match asked.await {
            Ok(response) => {
                exchange.first_byte(handed, response.status());
                return Ok((response, Carried { target, lease, connection: Some(connection) }));
            }
            Err(unanswered) => unanswered,
        };
        let broke_off = matches!(unanswered, Unanswered::Unsent(_) | Unanswered::Failed(_));
        // It was closed before it knew of this request.
        let stale = connection.reused
            && match unanswered {
                Unanswered::Unsent(_) => true,
                // One that carries many requests breaks off single ones.
                Unanswered::Failed(_) => !connection.is_shared(),
                Unanswered::Refused { with_all } => with_all,
                _ => false,
            };
        let why = if stale { "stale" } else { unanswered.reason() };
        // What waits for one that hangs has paid before it left.
        let paid = matches!(unanswered, Unanswered::Hangs);
        let (retried, sent) = match unanswered {
            Unanswered::Unsent(unsent) => {
                request.put_back(*unsent);
                (&metrics.retried_reset, false)
            }
            Unanswered::Refused { .. } if request.rewind() => (&metrics.retried_refused, false),
            Unanswered::Refused { .. } => return Err(Refusal::Reset),
            Unanswered::Failed(_) if let Some(stopped) = stopped(exchange) => {
                return Err(stopped.into());
            }
            Unanswered::Failed(error) if error.is_user() => return Err(Refusal::BadBody),
            Unanswered::Late => {
                if !exchange.timeouts().are_the_clients {
                    lease.finish(Outcome::Failure);
                }
                return Err(Refusal::AnswerTimeout);
            }
            Unanswered::Failed(error) if error.is_parse() => {
                lease.finish(Outcome::Failure);
                return Err(Refusal::BadAnswer);
            }
            Unanswered::Failed(_) => (&metrics.retried_reset, true),
            Unanswered::Hangs => (&metrics.retried_silent, true),
            Unanswered::Left => (&metrics.retried_left, true),
        };
        exchange.gave_up(why);
        if !stale {
            tried.push(upstream.id.clone());
        }
        if broke_off && !stale {
            lease.finish(Outcome::Failure);
        } else {
            // Whoever hangs or has left is left alone already.
            drop(lease);
        }
        broke.push(Arc::clone(upstream));
        if sent && !(repeatable && request.rewind()) || !may_go_on(&broke).await {
            return Err(Refusal::Reset);
        }
        started = clock::now();
        if sent && !paid && !service.budget.withdraw_at(started) {
            metrics.denied.increment(1);
            return Err(Refusal::Reset);
        }
        if stale { &metrics.retried_stale } else { retried }.increment(1);
        surprised = Some(started);
    }
}

/// What requests are kept together by, of a service whose algorithm does so: the client,
/// as endpoints are told of it.
pub(super) fn key(service: &Service, headers: &HeaderMap) -> Option<u64> {
    service.algorithm.hashes().then(|| affinity::source_of(headers)).flatten()
}

fn stopped(exchange: &Exchange) -> Option<Stopped> {
    exchange.progress().and_then(Progress::stopped)
}

/// How long an answer is waited for.
pub(super) struct Waits<'a> {
    /// When the request was taken up for this endpoint.
    pub(super) started: Instant,
    pub(super) limit: Duration,
    /// Its body, if it has one: nobody answers before that has come.
    pub(super) body: Option<&'a Progress>,
}

impl Waits<'_> {
    pub(super) fn are_over(&self) -> bool {
        let since = match self.body {
            None => Some(clock::nanos(self.started)),
            Some(body) => body.since(self.started),
        };
        since.is_some_and(|since| {
            let waited = clock::nanos(clock::now()).saturating_sub(since);
            waited >= clock::duration_nanos(self.limit)
        })
    }
}

/// What it takes for a request to go elsewhere while it waits for an answer.
pub(super) struct Leave<'a> {
    kept: &'a Kept,
    budget: &'a TokenBudget,
}

impl Leave<'_> {
    pub(super) fn is_possible(&self) -> bool {
        self.kept.is_whole()
    }

    /// To be asked last: a yes is paid for.
    pub(super) fn is_granted(&self) -> bool {
        self.budget.withdraw_at(clock::now())
    }
}

/// Whether a request that these have not answered may be sent once more.
async fn may_go_on(broke: &[Arc<Upstream>]) -> bool {
    if broke.len() > REPEATS {
        time::sleep(NEWS).await;
    }
    let stayed = broke.iter().filter(|upstream| !upstream.is_leaving());
    broke.len() <= REPEATS_AT_MOST && stayed.count() <= REPEATS
}

/// An endpoint that has not been tried. One that is on trial gets a request only
/// if that is the one it is to be tried with, or if there is nobody else.
fn pick(
    service: &Service,
    tried: &mut Vec<EndpointId>,
    hash: Option<u64>,
    repeatable: bool,
) -> Option<(Target, Lease, Option<Trial>)> {
    let cx = PickContext::new().hash(hash);
    let Some((member, lease)) = service.cluster.pick_untried(tried, &cx) else {
        let (target, lease) = service.last_resort(tried)?;
        return Some((target, lease, None));
    };
    let target = &member.endpoint.target;
    let trial = match target.upstream.admit(repeatable) {
        Admission::Free => None,
        Admission::OnTrial(trial) => Some(trial),
        Admission::No => {
            let mut avoid: Vec<_> = tried.iter().chain([&member.id]).cloned().collect();
            while let Some((other, lease)) = service.cluster.pick(&cx.avoid(&avoid)) {
                let target = &other.endpoint.target;
                match target.upstream.admit(repeatable) {
                    Admission::Free => return Some((target.clone(), lease, None)),
                    Admission::OnTrial(trial) => return Some((target.clone(), lease, Some(trial))),
                    Admission::No => avoid.push(other.id.clone()),
                }
            }
            None
        }
    };
    Some((target.clone(), lease, trial))
}
