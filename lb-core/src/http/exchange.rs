use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::{
    Request, StatusCode, Version,
    header::{CONTENT_LENGTH, HeaderMap},
};

use super::{
    access_log::Entry,
    connection::Connection,
    error::{Refusal, Truncation},
    expectation::Expectation,
    forwarding::{Forwarding, Traced},
    head,
    progress::Progress,
    proxy::Shared,
    record::{Attempt, Record},
    table::{Service, Target},
    timeouts::Timeouts,
    trace::Recording,
    upstream::Upstream,
};
use crate::{
    clock,
    interim::Informer,
    load::{self, Lease, Outcome},
};

/// One request from its first byte to the last byte of its answer: what has to
/// be given back, counted and written down when it ends.
pub(super) struct Exchange {
    shared: Arc<Shared>,
    worker: usize,
    started: Instant,
    status: StatusCode,
    outcome: Outcome,
    sent: u64,
    attempts: u32,
    /// The last one.
    attempt: Option<Attempt>,
    /// When it was handed to whoever answered it.
    handed: Option<Instant>,
    /// Why there is no whole answer of an endpoint.
    reason: Option<&'static str>,
    /// Whether browsers are told to come by HTTPS from now on.
    #[cfg(feature = "tls")]
    promises: bool,
    service: Option<Arc<Service>>,
    timeouts: Timeouts,
    /// How far the body of the request has come, if it has one.
    progress: Option<Arc<Progress>>,
    expectation: Option<Arc<Expectation>>,
    informer: Option<Informer>,
    carried: Option<Carried>,
    entry: Option<Box<Entry>>,
    /// Its trace, if it is traced.
    recording: Option<Box<Recording>>,
    finished: bool,
}

/// What carries an exchange.
pub(super) struct Carried {
    pub(super) target: Target,
    pub(super) lease: Lease,
    /// `None` where it can't be used again.
    pub(super) connection: Option<Connection>,
}

impl Exchange {
    pub(super) fn begin(shared: Arc<Shared>, worker: usize, entry: Option<Box<Entry>>) -> Self {
        Self {
            shared,
            worker,
            started: clock::now(),
            status: StatusCode::OK,
            outcome: Outcome::Success,
            sent: 0,
            attempts: 0,
            attempt: None,
            handed: None,
            reason: None,
            #[cfg(feature = "tls")]
            promises: false,
            service: None,
            timeouts: Timeouts::NONE,
            progress: None,
            expectation: None,
            informer: None,
            carried: None,
            entry,
            recording: None,
            finished: false,
        }
    }

    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// When its head had come.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// It is traced, or isn't.
    pub(super) fn records(&mut self, recording: Option<Box<Recording>>) {
        self.recording = recording;
    }

    /// Gives a request, whose headers are those for endpoints, the names by which it can
    /// be found again.
    pub(super) fn name(&self, headers: &mut HeaderMap, forwarding: &Forwarding) {
        let traced = match &self.recording {
            Some(recording) => recording.traced(),
            None if self.shared.traces.is_some() => Traced::No,
            None => Traced::Off,
        };
        forwarding.name(headers, traced);
    }

    /// It is about to be sent to an endpoint, for the first time or again.
    pub(super) fn attempted(&mut self, upstream: &Upstream, now: Instant) {
        if let (Some(entry), Some(failed)) = (&mut self.entry, &self.attempt) {
            entry.failed(failed.tried(now, failed.status));
        }
        self.attempts = self.attempts.saturating_add(1);
        self.attempt = Some(Attempt::new(upstream.address, now));
        if let Some(recording) = &mut self.recording {
            recording.attempt(upstream);
        }
    }

    /// Tells whoever gets it which span it comes from, if it is traced.
    pub(super) fn names_its_span(&self, headers: &mut HeaderMap) {
        if let Some(recording) = &self.recording {
            recording.enter(headers);
        }
    }

    /// The attempt has come to nothing, and another one may be made.
    pub(super) fn gave_up(&mut self, why: &'static str) {
        if let Some(attempt) = &mut self.attempt {
            attempt.failed(clock::now());
        }
        if let Some(recording) = &mut self.recording {
            recording.failed(Some(why));
        }
    }

    /// A connection that was open already carries it.
    pub(super) fn reuses(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.phases.connect = Some(Duration::ZERO);
        }
    }

    /// A connection had to be opened for it.
    pub(super) fn connected(&mut self, took: Duration) {
        if let Some(attempt) = &mut self.attempt {
            attempt.phases.connect = Some(took);
        }
        if let Some(recording) = &mut self.recording {
            recording.connected();
        }
    }

    /// The head of an answer has come to what was handed over then.
    pub(super) fn first_byte(&mut self, handed: Instant, status: StatusCode) {
        if let Some(recording) = &mut self.recording {
            recording.first_byte(status);
        }
        self.handed = Some(handed);
        if let Some(attempt) = &mut self.attempt {
            attempt.phases.first_byte = Some(clock::now().saturating_duration_since(handed));
        }
    }

    /// The client that has sent it says for whom.
    pub(super) fn speaks_for(&mut self, origin: Option<IpAddr>) {
        let Some(origin) = origin else { return };
        if let Some(entry) = &mut self.entry {
            entry.speaks_for(origin);
        }
        if let Some(recording) = &mut self.recording {
            recording.speaks_for(origin);
        }
    }

    /// It is passed on with these headers.
    pub(super) fn is_passed_on(&mut self, headers: &HeaderMap) {
        if let Some(entry) = &mut self.entry {
            entry.is_passed_on(headers);
        }
        if let Some(recording) = &mut self.recording {
            recording.is_passed_on(headers);
        }
    }

    /// An endpoint answers with these headers.
    pub(super) fn endpoint_answers(&mut self, headers: &HeaderMap) {
        if let Some(entry) = &mut self.entry {
            entry.hears(headers);
        }
    }

    /// Enters the proxy in an answer that came in `version`, where it was told to.
    pub(super) fn sign(&self, headers: &mut HeaderMap, version: Version) {
        if let Some(service) = &self.service {
            service.options.forwarding.enter(headers, version);
        }
    }

    /// Whether browsers are to be told to come by HTTPS from now on.
    #[cfg(feature = "tls")]
    pub(super) fn promises(&mut self, promises: bool) {
        self.promises = promises;
    }

    /// Tells browsers, in the headers of an answer, where that was promised.
    #[cfg(feature = "tls")]
    pub(super) fn promise(&self, headers: &mut HeaderMap) {
        if let (true, Some(service)) = (self.promises, &self.service) {
            service.https.promise(headers);
        }
    }

    /// It has a body, and this tells how far that has come.
    pub(super) fn has_body(&mut self, progress: Option<Arc<Progress>>) {
        self.progress = progress;
    }

    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }

    /// Its client wants to be asked for its body.
    pub(super) fn expects(&mut self, expectation: Arc<Expectation>) {
        self.expectation = Some(expectation);
    }

    pub(super) fn expectation(&self) -> Option<&Arc<Expectation>> {
        self.expectation.as_ref()
    }

    /// Its client can be told something before the answer.
    pub(super) fn informs(&mut self, informer: Option<Informer>) {
        self.informer = informer;
    }

    /// Hears what whoever gets this request says before its answer; nothing of who
    /// speaks HTTP/2, as hyper keeps that to itself.
    pub(super) fn listen<B>(&self, request: &mut Request<B>, speaks_http2: bool) {
        if speaks_http2 {
            if let Some(expectation) = &self.expectation {
                expectation.meet();
            }
            return;
        }
        let (expectation, informer) = (self.expectation.clone(), self.informer.clone());
        if expectation.is_none() && informer.is_none() {
            return;
        }
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                // hyper says so to the client once the body is read.
                if let Some(expectation) = &expectation {
                    expectation.meet();
                }
            } else if let Some(informer) = &informer {
                let mut headers = answer.headers().clone();
                head::to_client(&mut headers, false);
                headers.remove(CONTENT_LENGTH);
                informer.inform(answer.status(), &headers);
            }
        });
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The balancer answers it itself.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.shared.metrics.refused(refusal);
        self.reason = Some(refusal.reason());
        if let Some(attempt) = self.attempt.as_mut().filter(|_| refusal.is_the_endpoints()) {
            attempt.status = Some(refusal.status());
        }
    }

    pub(super) fn routed(&mut self, service: Arc<Service>, timeouts: Timeouts) {
        self.service = Some(service);
        self.timeouts = timeouts;
    }

    /// The head of the answer is known.
    pub(super) fn answered(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        carried: Option<Carried>,
    ) {
        self.status = status;
        if let Some(recording) = &mut self.recording {
            recording.answered(status);
        }
        self.outcome = match status {
            // Said of one client, and nothing of the endpoint.
            StatusCode::TOO_MANY_REQUESTS => Outcome::Success,
            _ => load::outcome(status, headers),
        };
        self.carried = carried;
        if let Some(entry) = &mut self.entry {
            entry.answers(status, headers);
        }
    }

    /// So many more bytes of the body have passed.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Ends an exchange whose answer its endpoint doesn't complete.
    pub(super) fn broke_off(&mut self, why: Truncation) {
        self.shared.metrics.truncated(why);
        self.reason = Some(why.reason());
        self.outcome = Outcome::Failure;
        self.finish(false);
    }

    /// The client is the reason why it doesn't end.
    pub(super) fn was_left(&mut self, reason: &'static str) {
        if !self.finished {
            self.reason = Some(reason);
        }
    }

    /// Ends the exchange, once. One that isn't `complete` was broken off by
    /// either side, and its connection can't be used again.
    pub(super) fn finish(&mut self, complete: bool) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        if let Some(expectation) = &self.expectation {
            expectation.end();
        }
        let carried = self.carried.take();
        let classes = match (&carried, &self.service) {
            (Some(carried), _) => &carried.target.metrics.classes,
            (None, Some(service)) => &service.shared.metrics.local,
            (None, None) => &self.shared.metrics.unrouted,
        };
        classes.count(self.status);
        let now = clock::now();
        let took = now.saturating_duration_since(self.started);
        if let Some(service) = &self.service {
            service.shared.metrics.duration.record(took);
            service.shared.metrics.sent.increment(self.sent);
            let first_byte = self.attempt.as_ref().and_then(|attempt| attempt.phases.first_byte);
            if let (Some(first_byte), Some(_)) = (first_byte, &carried) {
                service.shared.metrics.first_byte.record(first_byte);
            }
        }
        if let (Some(handed), Some(carried)) = (self.handed, &carried) {
            carried.target.metrics.duration.record(now.saturating_duration_since(handed));
        }
        if let Some(entry) = self.entry.take() {
            let endpoint = carried.as_ref().map(|carried| &carried.target.upstream.name);
            let record = self.record(endpoint, now, took, complete);
            if let Some(log) = &self.shared.access_log {
                log.write(self.worker, &entry, &record);
            }
            self.shared.tap.tell(self.worker, &entry, &record);
        }
        if let (Some(traces), Some(recording)) = (&self.shared.traces, self.recording.take()) {
            let service = self.service.as_ref().map(|service| Arc::clone(&service.name));
            traces.end(self.worker, recording.end(complete, self.reason, service));
        }
        if let Some(Carried { target, mut lease, connection }) = carried {
            // One that succeeded until it was broken off says nothing.
            if complete || self.outcome != Outcome::Success {
                lease.record(self.outcome);
            }
            if let (true, Some(connection)) = (complete, connection) {
                target.upstream.keep(self.worker, connection);
            }
            drop(lease);
        }
    }

    fn record<'a>(
        &'a self,
        endpoint: Option<&'a Arc<str>>,
        now: Instant,
        took: Duration,
        complete: bool,
    ) -> Record<'a> {
        let last = self.attempt.as_ref().map(|attempt| {
            attempt.tried(now, endpoint.map_or(attempt.status, |_| Some(self.status)))
        });
        Record {
            service: self.service.as_ref().map(|service| &service.name),
            endpoint,
            status: self.status,
            received: self.progress().map_or(0, Progress::received),
            sent: self.sent,
            // A tunnel has no end but this one.
            complete: complete || self.status == StatusCode::SWITCHING_PROTOCOLS,
            ended: now,
            took,
            attempts: self.attempts,
            attempt: last,
            reason: self.reason,
            failed: self.outcome != Outcome::Success,
        }
    }
}

/// What nginx says of clients that leave before they are answered.
const LEFT: u16 = 499;

/// An exchange that ends before its head is sent, because the client has left,
/// is recorded as nginx does: 499.
impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            self.status = StatusCode::from_u16(LEFT).unwrap_or(StatusCode::BAD_REQUEST);
            self.finish(false);
        }
    }
}

/// Whether the answer with this head lets its connection be used again.
pub(super) fn keeps_alive(version: ::http::Version, headers: &HeaderMap) -> bool {
    version == ::http::Version::HTTP_11
        && !head::connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("close"))
}
