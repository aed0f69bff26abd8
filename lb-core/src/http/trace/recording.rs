use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ::http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::{
    super::{
        client::Client,
        clip::{clip, clip_list, clip_method},
        forwarding::Traced,
        head::without_userinfo,
        upstream::Upstream,
    },
    Attempt, Parent, Trace, Traces,
    parent::{TRACEPARENT, TRACESTATE, new_span},
};
use crate::clock;

/// Longer texts are cut off: they wait in a queue, where they would take up room.
const LONGEST: usize = 1024;

/// Who hasn't waited for the answer, or for the rest of it.
const CLIENT_LEFT: &str = "client_left";

/// A request that is traced, while it is under way.
pub(in crate::http) struct Recording {
    trace: Trace,
    context: Parent,
    is_new: bool,
    began: Instant,
    /// When the attempt that is being made began.
    attempt: Option<Instant>,
}

impl Traces {
    /// Begins the trace of a request, if it is to be traced: one whose client is `believed`
    /// says so itself.
    pub(in crate::http) fn begin<B>(
        &self,
        request: &Request<B>,
        client: &Client,
        began: Instant,
        believed: bool,
    ) -> Option<Box<Recording>> {
        let parent = Parent::of(request.headers());
        let wanted = match parent.filter(|_| believed) {
            Some(parent) => parent.is_sampled(),
            None => self.0.sampler.says_yes(),
        };
        wanted.then(|| Box::new(Recording::new(request, client, parent, began)))
    }

    /// Gives up a trace whose request has ended.
    pub(in crate::http) fn end(&self, worker: usize, trace: Trace) {
        self.0.sink.take(worker, trace);
    }
}

impl Recording {
    fn new<B>(
        request: &Request<B>,
        client: &Client,
        parent: Option<Parent>,
        began: Instant,
    ) -> Self {
        let (headers, uri) = (request.headers(), request.uri());
        let context = parent.map_or_else(|| Parent::new(true), |parent| parent.next(true));
        let state = || {
            let lines = headers.get_all(TRACESTATE).iter();
            let list = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
            let list = list.collect::<Vec<_>>().join(",");
            // Half an entry would be another one.
            let whole = clip_list(&list, LONGEST);
            (!whole.is_empty()).then(|| whole.into())
        };
        let host = match uri.authority() {
            Some(authority) => Some(host(authority.as_str().as_bytes())),
            None => headers.get(header::HOST).map(|value| host(value.as_bytes())),
        };
        let trace = Trace {
            id: context.trace,
            span: context.span,
            parent: parent.map(|parent| parent.span),
            flags: context.flags,
            state: parent.and_then(|_| state()),
            started: SystemTime::now(),
            took: Duration::ZERO,
            method: clip_method(request.method()),
            scheme: client.scheme(),
            host,
            path: clip(uri.path(), LONGEST).into(),
            version: request.version(),
            user_agent: headers.get(header::USER_AGENT).map(text),
            peer: client.address,
            client: client.address.map(|peer| peer.ip().to_canonical()),
            service: None,
            status: None,
            reason: None,
            is_whole: false,
            attempts: Vec::new(),
        };
        Self { trace, context, is_new: parent.is_none(), began, attempt: None }
    }

    /// What endpoints are told of it.
    pub(in crate::http) fn traced(&self) -> Traced {
        Traced::Yes { span: self.context, is_new: self.is_new }
    }

    /// This is the first client, by the word of one that is believed.
    pub(in crate::http) fn speaks_for(&mut self, origin: IpAddr) {
        self.trace.client = Some(origin);
    }

    /// These headers, of which only what is believed is left, tell what the first client
    /// asked for.
    pub(in crate::http) fn is_passed_on(&mut self, headers: &HeaderMap) {
        let of = |name| headers.get(name).map(HeaderValue::as_bytes);
        match of("x-forwarded-proto") {
            Some(b"https") => self.trace.scheme = "https",
            Some(b"http") => self.trace.scheme = "http",
            _ => {}
        }
        if let Some(name) = of("x-forwarded-host") {
            self.trace.host = Some(host(name));
        }
    }

    /// An attempt is made at this endpoint.
    pub(in crate::http) fn attempt(&mut self, upstream: &Upstream) {
        let now = clock::now();
        self.attempt = Some(now);
        self.trace.attempts.push(Attempt {
            span: new_span(),
            started: now.saturating_duration_since(self.began),
            took: Duration::ZERO,
            endpoint: upstream.id.clone(),
            name: Arc::clone(&upstream.name),
            address: upstream.address,
            protocol: upstream.transport.protocol,
            connect: None,
            first_byte: None,
            status: None,
            error: None,
        });
    }

    /// A connection was opened for it.
    pub(in crate::http) fn connected(&mut self) {
        if let Some((attempt, so_far)) = self.current() {
            attempt.connect = Some(so_far);
        }
    }

    /// Tells its endpoint which span its request comes from.
    pub(in crate::http) fn enter(&self, headers: &mut HeaderMap) {
        if let Some(attempt) = self.trace.attempts.last()
            && let Some(value) = (Parent { span: attempt.span, ..self.context }).value()
        {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// The head of its answer has come.
    pub(in crate::http) fn first_byte(&mut self, status: StatusCode) {
        if let Some((attempt, so_far)) = self.current() {
            (attempt.first_byte, attempt.status) = (Some(so_far), Some(status));
        }
    }

    /// It has come to nothing, and another one may be made.
    pub(in crate::http) fn failed(&mut self, error: Option<&'static str>) {
        if let Some((attempt, so_far)) = self.current() {
            (attempt.took, attempt.error) = (so_far, error);
            self.attempt = None;
        }
    }

    /// The request is answered with this.
    pub(in crate::http) fn answered(&mut self, status: StatusCode) {
        self.trace.status = Some(status);
    }

    /// The request has ended, with a `complete` answer, or else for this reason or
    /// because the client has left.
    pub(in crate::http) fn end(
        mut self,
        complete: bool,
        reason: Option<&'static str>,
        service: Option<Arc<str>>,
    ) -> Trace {
        let is_tunnel = self.trace.status == Some(StatusCode::SWITCHING_PROTOCOLS);
        self.trace.is_whole = complete || is_tunnel && reason.is_none();
        let reason = reason.or_else(|| (!self.trace.is_whole).then_some(CLIENT_LEFT));
        self.failed(reason);
        self.trace.took = clock::now().saturating_duration_since(self.began);
        (self.trace.reason, self.trace.service) = (reason, service);
        self.trace
    }

    /// The attempt that is being made, and how long it has been.
    fn current(&mut self) -> Option<(&mut Attempt, Duration)> {
        let began = self.attempt?;
        let so_far = clock::now().saturating_duration_since(began);
        Some((self.trace.attempts.last_mut()?, so_far))
    }
}

/// What came of opening a connection.
pub(in crate::http) fn why_not_connected(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect_refused",
        io::ErrorKind::TimedOut => "connect_timeout",
        io::ErrorKind::InvalidData => "connect_tls",
        io::ErrorKind::ConnectionAborted => "left",
        _ => "connect_error",
    }
}

fn text(value: &HeaderValue) -> Box<str> {
    clipped(value.as_bytes())
}

/// Whom a client asks for, but not as whom.
fn host(authority: &[u8]) -> Box<str> {
    clipped(without_userinfo(authority))
}

fn clipped(text: &[u8]) -> Box<str> {
    clip(&String::from_utf8_lossy(text), LONGEST).into()
}
