use std::{
    convert::Infallible,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use arc_swap::{ArcSwap, Guard};
use http_body::Body;
use tokio::sync::{Notify, mpsc, watch};
use tower_service::Service;

use super::{
    AccessLog, Options, Plane,
    access_log::Entry,
    body::{RequestBody, ResponseBody},
    client::Client,
    driver::Driver,
    error::{Form, Refusal, Refused},
    exchange::{Carried, Exchange, keeps_alive},
    expectation::Expectation,
    forward::forward,
    forwarding::Word,
    head,
    table::Table,
    tap::Tap,
    timeouts::Timeouts,
    trace::Traces,
    upgrade,
};
use crate::{
    interim::{Informer, Interim},
    metrics,
    overload::{Level, Pressure},
};

#[cfg(feature = "tls")]
use crate::tls::{HostOptions, Session};

/// A reverse proxy as a tower service: it never fails, every request is
/// answered.
///
/// Clones share everything but what they know of their client. Use one clone
/// for each connection, made by [`client`](Self::client) on the worker that
/// [`worker`](Self::worker) named.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    worker: usize,
    client: Arc<Client>,
    interim: Interim,
    /// Kept for as long as anything of this connection goes on.
    guard: Option<Arc<dyn Send + Sync>>,
}

/// What every clone shares.
pub(super) struct Shared {
    pub(super) access_log: Option<AccessLog>,
    pub(super) tap: Arc<Tap>,
    pub(super) traces: Option<Traces>,
    pub(super) pressure: Pressure,
    pub(super) table: ArcSwap<Table>,
    /// The table has changed, or an endpoint has become ready.
    pub(super) changed: Notify,
    /// Whether every source has said who is there.
    pub(super) settled: watch::Sender<bool>,
    pub(super) metrics: metrics::Global,
}

impl Shared {
    /// Has requests look again that wait for an endpoint: one may be ready.
    pub(super) fn wake(&self) {
        for service in &self.table.load().services {
            if service.shared.room.is_out() && service.cluster.is_ready() {
                service.shared.room.ready();
            }
        }
        self.changed.notify_waiters();
    }
}

impl Proxy {
    /// A proxy without routes, and the [`Driver`] that gives it some.
    pub fn new(options: Options) -> (Self, Driver) {
        let shared = Arc::new(Shared {
            access_log: options.access_log.clone(),
            tap: Arc::new(Tap::new(options.workers)),
            traces: options.traces.clone(),
            pressure: options.pressure.clone(),
            table: ArcSwap::from_pointee(Table::empty(options)),
            changed: Notify::new(),
            settled: watch::Sender::new(false),
            metrics: metrics::Global::new(),
        });
        let (suspects, suspected) = mpsc::unbounded_channel();
        let driver = Driver::new(Arc::clone(&shared), suspects, suspected);
        let client = Arc::new(Client::new(None, None));
        (Self { shared, worker: 0, client, interim: Interim::default(), guard: None }, driver)
    }

    /// The proxy as this worker uses it: its connections to endpoints are its
    /// own. Numbers begin at 0.
    #[must_use]
    pub fn worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// The proxy for one client: `peer` has connected to `local`. The `guard`
    /// is kept until the last request is answered and the last tunnel closed.
    #[must_use]
    pub fn client(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        guard: impl Send + Sync + 'static,
    ) -> Self {
        Self {
            client: Arc::new(Client::connected(peer, local)),
            guard: Some(Arc::new(guard)),
            ..self.clone()
        }
    }

    /// The proxy for a client that speaks TLS, if it does, to us or to a proxy in
    /// front.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        if secure {
            Arc::make_mut(&mut self.client).secure = true;
        }
        self
    }

    /// The proxy for a client that has made this handshake with us, if it has.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn session(mut self, session: Option<Session>) -> Self {
        if session.is_some() {
            let client = Arc::make_mut(&mut self.client);
            (client.session, client.secure) = (session, true);
        }
        self
    }

    /// What the host that a client names in its handshake asks for.
    #[cfg(feature = "tls")]
    pub fn handshake(&self, host: Option<&str>) -> HostOptions {
        let table = self.shared.table.load();
        match host.and_then(|host| table.routes.find(host)) {
            Some(service) => service.https.handshake(),
            // They are told that nothing answers.
            None => HostOptions { any_default: true, ..HostOptions::default() },
        }
    }

    /// The proxy for a client that can be told what endpoints say before they answer
    /// (1xx).
    #[cfg(feature = "server")]
    #[must_use]
    pub fn informing(self, interim: Interim) -> Self {
        Self { interim, ..self }
    }

    /// What the proxy knows of its services, for reports and metrics.
    pub fn plane(&self) -> Plane {
        Plane::new(Arc::clone(&self.shared))
    }

    async fn answer(
        self,
        request: Request<RequestBody>,
        informer: Option<Informer>,
    ) -> Response<ResponseBody> {
        let is_told = self.shared.access_log.is_some() || self.shared.tap.is_watched();
        let mut entry = is_told.then(|| Box::new(Entry::new(&request, Arc::clone(&self.client))));
        if let (Some(entry), Some(log)) = (&mut entry, &self.shared.access_log) {
            log.note(self.worker, entry, &request);
        }
        let mut exchange = Exchange::begin(Arc::clone(&self.shared), self.worker, entry);
        exchange.informs(informer);
        let table = self.shared.table.load();
        let word = table.options.forwarding.word(request.headers(), &self.client);
        if let Some(traces) = &self.shared.traces {
            let began = exchange.started();
            exchange.records(traces.begin(&request, &self.client, began, word.believed));
        }
        // Before anything can be refused: that is told of its client, too.
        exchange.speaks_for(word.origin);
        #[cfg(feature = "tls")]
        if super::https::is_challenge(request.uri().path())
            && let Some(https) = &table.options.https
            && let Some(answer) = https.challenge(&request)
        {
            exchange.answered(answer.status(), answer.headers(), None);
            return answer.map(|body| ResponseBody::local(body, exchange));
        }
        let (form, version) = (Form::of(&request), request.version());
        match self.carry(request, form, table, word, &mut exchange).await {
            Ok(answer) => answer.finish(exchange, self.guard),
            Err(refused) => {
                let refusal = refused.refusal;
                exchange.refused(refusal);
                let mut response = refused.response(form);
                if refusal == Refusal::Overload && version < Version::HTTP_2 {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                #[cfg(feature = "tls")]
                exchange.promise(response.headers_mut());
                exchange.answered(response.status(), response.headers(), None);
                response.map(|body| ResponseBody::local(body, exchange))
            }
        }
    }

    async fn carry(
        &self,
        mut request: Request<RequestBody>,
        form: Form,
        table: Guard<Arc<Table>>,
        word: Word,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refused> {
        if self.shared.pressure.level() >= Level::High {
            return Err(Refusal::Overload.into());
        }
        let client_upgrade = hyper::upgrade::on(&mut request);
        let on_stream = upgrade::from_stream(&mut request);
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method.into());
        }
        if !head::is_plainly_framed(request.headers()) {
            return Err(Refusal::Coding.into());
        }
        if request.method() == Method::OPTIONS && !head::may_go_on(request.headers_mut()) {
            return Err(Refusal::LastHop.into());
        }
        if !head::is_target(&request) {
            return Err(Refusal::BadTarget.into());
        }
        let host = head::host(&request)?;
        let options = &table.options;
        if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > options.uri_limit)
        {
            return Err(Refusal::UriTooLong.into());
        }
        let service = table.routes.find(host).cloned().ok_or(Refusal::NoRoute)?;
        let timeouts = Timeouts::of(options, form, service.speaks_http2, request.headers());
        exchange.routed(Arc::clone(&service), timeouts);
        #[cfg(feature = "tls")]
        if let Some(https) = &options.https {
            let client = &self.client;
            exchange.promises(https.admit(
                &request,
                host,
                &service.https,
                client,
                &options.forwarding,
            )?);
        }

        let (mut head, body) = request.into_parts();
        let body = body.metered(options.body_limit, timeouts.body, &self.shared.pressure);
        let (mut body, progress) = body.map_err(Refusal::from)?;
        if progress.is_some()
            && let Some(expectation) = Expectation::of(head.version, &head.headers)
        {
            body = body.once_met(Arc::clone(&expectation));
            exchange.expects(expectation);
        }
        exchange.has_body(progress);
        if head.version == Version::HTTP_2
            && !body.is_end_stream()
            && !head.headers.contains_key(CONTENT_LENGTH)
        {
            // HTTP/2 need not say that there is a body; HTTP/1 must.
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let may_close = head.version < Version::HTTP_2;
        let upgrade = head::to_upstream(&mut head, &self.client, word, &options.forwarding);
        exchange.name(&mut head.headers, &options.forwarding);
        drop(table);
        exchange.is_passed_on(&head.headers);
        let request = Request::from_parts(head, body);

        let (response, mut carried) =
            forward(&self.shared, &self.client, service, request, exchange).await?;
        let unasked = exchange.expectation().is_some_and(|expectation| expectation.is_answered());
        if unasked {
            carried.connection = None;
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && (!upgrade || unasked) {
            // Nobody asked; what follows would not be HTTP. Nor may it come before the
            // body has (RFC 9110, section 7.8), which never will.
            return Err(Refusal::Reset.into());
        }
        if !head::is_plainly_framed(response.headers()) {
            return Err(Refusal::BadAnswer.into());
        }
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if on_stream && !switches && response.status().is_success() {
            // It would pass for a yes.
            return Err(Refusal::BadAnswer.into());
        }
        let client_upgrade = upgrade.then_some(client_upgrade);
        let closes = unasked && may_close;
        Ok(Answer { response, carried, client_upgrade, on_stream, closes })
    }
}

/// The head of an endpoint's answer, and what carries the rest.
struct Answer {
    response: Response<hyper::body::Incoming>,
    carried: Carried,
    client_upgrade: Option<hyper::upgrade::OnUpgrade>,
    /// Whether what is upgraded is one stream of HTTP/2.
    on_stream: bool,
    /// The client may send the body that it wasn't asked for, or not: who reads on can't
    /// know what comes.
    closes: bool,
}

impl Answer {
    fn finish(
        self,
        mut exchange: Exchange,
        guard: Option<Arc<dyn Send + Sync>>,
    ) -> Response<ResponseBody> {
        let Self { mut response, mut carried, client_upgrade, on_stream, closes } = self;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded || !keeps_alive(response.version(), response.headers()) {
            carried.connection = None;
        }
        let version = response.version();
        exchange.endpoint_answers(response.headers());
        head::to_client(response.headers_mut(), upgraded);
        if closes && !upgraded {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        exchange.sign(response.headers_mut(), version);
        #[cfg(feature = "tls")]
        exchange.promise(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        exchange.answered(response.status(), response.headers(), Some(carried));
        if let (true, Some(client)) = (upgraded, client_upgrade) {
            let upstream = hyper::upgrade::on(&mut response);
            if on_stream {
                let (mut head, body) = response.into_parts();
                upgrade::to_stream(&mut head.status, &mut head.headers);
                response = Response::from_parts(head, body);
            }
            return upgrade::tunnel(response, client, upstream, exchange, guard);
        }
        let timeout = exchange.timeouts().idle;
        response.map(|body| ResponseBody::upstream(body, exchange, timeout))
    }
}

impl<B> Service<Request<B>> for Proxy
where
    B: Into<RequestBody>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let proxy = self.clone();
        let request = request.map(Into::into);
        // That of this request, which has just begun.
        let informer = self.interim.informer();
        Box::pin(async move { Ok(proxy.answer(request, informer).await) })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("worker", &self.worker).finish_non_exhaustive()
    }
}
