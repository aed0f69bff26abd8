//! A server behind the balancer that tells what it was told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{copy, split},
    net::TcpListener,
    task::JoinSet,
};

use crate::lb::Lb;

/// The host that it answers for.
pub(crate) const HOST: &str = "app.local";

/// Answers until it is dropped: with the status that the path asks for, or 200.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    told: Mutex<Vec<HeaderMap>>,
    /// How many requests are still to be broken off.
    breaks: AtomicUsize,
}

impl Endpoint {
    pub(crate) async fn http1() -> Self {
        Self::start(false).await
    }

    pub(crate) async fn http2() -> Self {
        Self::start(true).await
    }

    async fn start(speaks_http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let (answering, mut serving) = (Arc::clone(&state), JoinSet::new());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let stream = TokioIo::new(listener.accept().await.unwrap().0);
                let state = Arc::clone(&answering);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { state.answer(request) }
                });
                connections.spawn(async move {
                    if speaks_http2 {
                        let http = http2::Builder::new(TokioExecutor::new());
                        let _ = http.serve_connection(stream, service).await;
                    } else {
                        let http = http1::Builder::new().serve_connection(stream, service);
                        let _ = http.with_upgrades().await;
                    }
                });
            }
        });
        Self { address, state, _serving: serving }
    }

    /// Breaks the next ones off that it gets.
    pub(crate) fn breaks(&self, count: usize) {
        self.state.breaks.store(count, Ordering::SeqCst);
    }

    /// The headers of every request it was sent.
    pub(crate) fn told(&self) -> Vec<HeaderMap> {
        self.state.told.lock().unwrap().clone()
    }

    /// What the last one said in this header.
    pub(crate) fn last(&self, name: &str) -> String {
        let told = self.told();
        let value = told.last().unwrap().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }
}

impl State {
    fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, &'static str> {
        self.told.lock().unwrap().push(request.headers().clone());
        let left = self.breaks.load(Ordering::SeqCst);
        if left > 0 {
            self.breaks.store(left - 1, Ordering::SeqCst);
            return Err("broken off as asked");
        }
        let mut response = Response::new(Full::from("hello"));
        if request.headers().contains_key(header::UPGRADE) {
            tokio::spawn(async move {
                let stream = hyper::upgrade::on(request).await.unwrap();
                let (mut from, mut to) = split(TokioIo::new(stream));
                let _ = copy(&mut from, &mut to).await;
            });
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
            headers.insert(header::UPGRADE, "echo".parse().unwrap());
            *response.body_mut() = Full::default();
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            return Ok(response);
        }
        let status = request.uri().path().trim_start_matches('/').parse();
        *response.status_mut() = status.unwrap_or(StatusCode::OK);
        Ok(response)
    }
}

/// The balancer before this endpoint, ready.
pub(crate) async fn before(
    endpoint: &Endpoint,
    change: impl FnOnce(&mut tokio::process::Command),
) -> Lb {
    let lb = Lb::start(|lb| {
        lb.arg(format!("--upstream={HOST}={}", endpoint.address));
        change(lb);
    })
    .await;
    lb.ready(HOST, 1).await;
    lb
}
