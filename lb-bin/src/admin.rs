//! The listener for operators: metrics, health, and who is routed.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
        LOCATION, X_CONTENT_TYPE_OPTIONS,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lb_core::{
    http::Plane,
    overload::{Level, Pressure},
    server::{Closed, Connections},
};
use lb_docker::Status;
use metrics::{Counter, Gauge, counter, gauge};
use tokio::net::TcpListener;

use crate::{
    acme::Orders,
    certificates::Certificates,
    explain::explain,
    live::{self, Events, Live},
    metrics::{
        ACCEPTED, BUILD, CLOSED, CONNECTIONS, CONNECTIONS_LIMIT, MEMORY, MEMORY_LIMIT, WORKERS,
    },
    report::{Docker, Endpoints, Ready},
    series::Series,
};

/// What the admin listener shows.
pub(crate) struct Admin {
    pub(crate) plane: Plane,
    pub(crate) series: Series,
    pub(crate) connections: Connections,
    pub(crate) pressure: Pressure,
    pub(crate) docker: Option<Status>,
    pub(crate) live: Arc<Live>,
    https: Option<Https>,
    /// Set once the balancer no longer wants new traffic.
    pub(crate) stopping: AtomicBool,
    /// Set once another process may answer, and may know better.
    pub(crate) leaving: AtomicBool,
    numbers: Numbers,
}

/// What HTTPS is served with, and how that is ordered.
type Https = (Arc<Certificates>, Option<Arc<Orders>>);

/// What it was started with, and keeps.
pub(crate) struct Capacity {
    pub(crate) workers: usize,
    /// The most connections of clients at once.
    pub(crate) connections: usize,
}

struct Numbers {
    connections: Gauge,
    accepted: Counter,
    closed: [(Closed, Counter); Closed::ALL.len()],
    memory: Gauge,
    memory_limit: Gauge,
    contact: Option<Gauge>,
    /// The version and the capacity: they never change, and stay shown.
    _constants: [Gauge; 3],
}

/// Listens at the address, with a socket of `open` if one is bound to it.
pub(crate) fn listen(
    address: SocketAddr,
    open: &mut Vec<std::net::TcpListener>,
) -> anyhow::Result<TcpListener> {
    let listener = match lb_core::server::adopt(address, open) {
        Some(listener) => Ok(listener),
        None => std::net::TcpListener::bind(address),
    };
    listener
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .with_context(|| format!("can't listen on {address}: choose another address with --admin"))
}

impl Admin {
    pub(crate) fn new(
        plane: Plane,
        series: Series,
        connections: Connections,
        pressure: Pressure,
        docker: Option<Status>,
        https: Option<Https>,
        capacity: &Capacity,
    ) -> Self {
        let build = gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"));
        build.set(1.0);
        let threads = gauge!(WORKERS);
        threads.set(capacity.workers as f64);
        let most = gauge!(CONNECTIONS_LIMIT);
        most.set(capacity.connections as f64);
        let closed = |closed: Closed| (closed, counter!(CLOSED, "reason" => closed.reason()));
        let numbers = Numbers {
            connections: gauge!(CONNECTIONS),
            accepted: counter!(ACCEPTED),
            closed: Closed::ALL.map(closed),
            memory: gauge!(MEMORY),
            memory_limit: gauge!(MEMORY_LIMIT),
            contact: docker.as_ref().map(|_| {
                gauge!(lb_docker::metrics::LAST_CONTACT, "source" => lb_docker::metrics::SOURCE)
            }),
            _constants: [build, threads, most],
        };
        let live = Live::new(plane.clone(), connections.clone(), docker.clone());
        Self {
            live: Arc::new(live),
            plane,
            series,
            connections,
            pressure,
            docker,
            https,
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            numbers,
        }
    }

    /// Answers for good.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<TcpListener>) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: others have to close some first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let admin = Arc::clone(&self);
            let service = service_fn(move |request| {
                let mut response = match admin.stream(&request) {
                    Some(response) => response.map(Either::Right),
                    None => admin.answer(&request).map(Either::Left),
                };
                if admin.leaving.load(Ordering::Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                async { Ok::<_, Infallible>(response) }
            });
            // A scraper that goes away is its own affair.
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    }

    /// The answer that goes on for as long as somebody reads it.
    fn stream<B>(&self, request: &Request<B>) -> Option<Response<Events>> {
        if *request.method() != Method::GET || request.uri().path() != "/live/events" {
            return None;
        }
        Some(events(self.live.follow()?))
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response =
                text(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed: only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/" => text(StatusCode::OK, INDEX),
            "/metrics" => {
                typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics())
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let ready = self.ready();
                let status =
                    if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                json(status, &ready)
            }
            "/endpoints" => json(StatusCode::OK, &Endpoints::of(&self.plane, self.docker.as_ref())),
            "/explain" => match explain(&self.plane, request.uri().query().unwrap_or_default()) {
                Ok(explanation) => json(StatusCode::OK, &explanation),
                Err(error) => typed(StatusCode::BAD_REQUEST, PLAIN, error + "\n"),
            },
            "/certificates" => match &self.https {
                Some((certificates, orders)) => {
                    let orders = orders.as_ref().map(|orders| orders.report());
                    json(StatusCode::OK, &certificates.report(orders))
                }
                None => text(StatusCode::NOT_FOUND, "404 Not Found: there is no HTTPS\n"),
            },
            "/live" => {
                let mut response = text(StatusCode::MOVED_PERMANENTLY, "301 Moved Permanently\n");
                response.headers_mut().insert(LOCATION, HeaderValue::from_static("/live/"));
                response
            }
            "/live/events" if *request.method() == Method::HEAD => events(Full::default()),
            "/live/events" => text(StatusCode::SERVICE_UNAVAILABLE, NOT_FOLLOWED),
            path => match path.strip_prefix("/live/").and_then(live::file) {
                Some((kind, content)) => page(kind, content),
                None => text(StatusCode::NOT_FOUND, INDEX),
            },
        }
    }

    fn metrics(&self) -> String {
        self.plane.observe();
        self.numbers.connections.set(self.connections.open() as f64);
        self.numbers.accepted.absolute(self.connections.accepted());
        for (closed, counter) in &self.numbers.closed {
            counter.absolute(self.connections.closed(*closed));
        }
        let (used, limit) = self.pressure.memory().unwrap_or_default();
        self.numbers.memory.set(used as f64);
        self.numbers.memory_limit.set(limit as f64);
        if let Some((certificates, _)) = &self.https {
            certificates.observe();
        }
        if let (Some(gauge), Some(status)) = (&self.numbers.contact, &self.docker) {
            gauge.set(status.since_contact().as_secs_f64());
        }
        self.series.render()
    }

    /// Ready once the sources have said who is there; from then on the last
    /// known set serves, whatever becomes of the engine.
    fn ready(&self) -> Ready {
        let docker = self.docker.as_ref().map(Docker::of);
        let reason = if self.stopping.load(Ordering::Relaxed) {
            Some("stopping".to_owned())
        } else if self.pressure.level() == Level::Critical {
            Some("overload: memory is about to run out".to_owned())
        } else {
            docker.as_ref().filter(|docker| !docker.synced).map(|docker| {
                let error = docker.error.as_deref().unwrap_or("still looking");
                format!("the containers are not known yet: {error}")
            })
        };
        Ready { ready: reason.is_none(), reason, docker }
    }
}

const INDEX: &str = "\
lb-bin answers here:
  /live/         what happens, as it happens, in a browser
  /metrics       for Prometheus
  /healthz       200 while the process lives
  /readyz        200 once it knows who to route to, else 503 and why
  /endpoints     each service and its endpoints, and what is not routed and why
  /explain?of=   why a container is routed or not, and where requests for a host go
  /certificates  what HTTPS is served with, and what is wrong with it
";

const NOT_FOLLOWED: &str =
    "503 Service Unavailable: too many follow, or another process has taken over\n";

const PLAIN: &str = "text/plain; charset=utf-8";

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, PLAIN, text)
}

fn page(kind: &'static str, content: &'static str) -> Response<Full<Bytes>> {
    let mut response = typed(StatusCode::OK, kind, content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(live::POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // It belongs to the version that runs.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn events<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            typed(status, "application/json", body)
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n"),
    }
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
