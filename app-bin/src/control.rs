//! The second port: what the server says about itself.
//!
//! The first port greets on every path, which leaves no path for anything else.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use crate::health::Health;
use crate::listener::Listener;
use crate::mood::Mood;
use crate::server::Handle;

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The control port of one server.
///
/// | request                           | answer                                              |
/// |-----------------------------------|-----------------------------------------------------|
/// | `GET /metrics`                    | the metrics as Prometheus text; 404 without metrics |
/// | `GET /healthz`                    | 200, or 503 when unhealthy or no longer serving     |
/// | `PUT` or `POST` `/health/up`      | 200, and healthy from now on                        |
/// | `PUT` or `POST` `/health/down`    | 200, and unhealthy from now on                      |
/// | `PUT` or `POST` `/hang`           | 200, and no request is answered; all are accepted   |
/// | `PUT` or `POST` `/fail`           | 200, and requests are answered 500                  |
/// | `PUT` or `POST` `/resume`         | 200, and neither any more; what hung is answered    |
/// | `GET /requests`                   | `{"requests":N,"in_flight":N,"first_request_ms":T}` |
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    state: State,
}

impl Control {
    /// Listens on `address`, where port 0 takes a free one;
    /// [`run`](Self::run) answers.
    ///
    /// # Errors
    ///
    /// The address is in use, not this host's, or not permitted.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn bind(address: SocketAddr, server: Handle, health: Health) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::bind(address)?,
            state: State { server, health, render: None },
        })
    }

    /// Answers `/metrics` with what `render` returns.
    #[must_use]
    pub fn with_metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.state.render = Some(Box::new(render));
        self
    }

    /// The address it listens on, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Answers until the future is dropped, which drops the connections, too.
    pub async fn run(self) {
        let state = Arc::new(self.state);
        let mut connections = JoinSet::new();
        loop {
            let stream = self.listener.accept().await;
            // The set remembers a task until it is asked.
            while connections.try_join_next().is_some() {}
            let state = Arc::clone(&state);
            connections.spawn(async move {
                let service = service_fn(|request: hyper::Request<_>| {
                    let response = state.answer(request.method(), request.uri().path());
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                // A connection's errors are its client's.
                let _ = http1::Builder::new()
                    .header_read_timeout(None)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }
}

type Render = Box<dyn Fn() -> String + Send + Sync>;

struct State {
    server: Handle,
    health: Health,
    render: Option<Render>,
}

impl State {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let read = matches!(*method, Method::GET | Method::HEAD);
        let write = matches!(*method, Method::PUT | Method::POST);
        match path {
            "/metrics" if read => self.metrics(),
            "/healthz" if read => self.healthz(),
            "/requests" if read => self.requests(),
            "/metrics" | "/healthz" | "/requests" => refuse_method("GET, HEAD"),
            "/health/up" if write => self.set_health(true),
            "/health/down" if write => self.set_health(false),
            "/hang" if write => self.set_mood(Mood::Hanging, "hanging\n"),
            "/fail" if write => self.set_mood(Mood::Failing, "failing\n"),
            "/resume" if write => self.set_mood(Mood::Well, "well\n"),
            "/health/up" | "/health/down" | "/hang" | "/fail" | "/resume" => {
                refuse_method("PUT, POST")
            }
            _ => response(
                StatusCode::NOT_FOUND,
                PLAIN,
                "not found: there are /metrics, /healthz, /health/up, /health/down, /hang, /fail, \
                 /resume and /requests\n",
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match &self.render {
            Some(render) => response(StatusCode::OK, PROMETHEUS, render()),
            None => response(StatusCode::NOT_FOUND, PLAIN, "this server records no metrics\n"),
        }
    }

    fn healthz(&self) -> Response<Full<Bytes>> {
        if !self.server.is_serving() {
            response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n")
        } else if self.health.is_up() {
            response(StatusCode::OK, PLAIN, "ok\n")
        } else {
            response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "unhealthy\n")
        }
    }

    fn set_health(&self, up: bool) -> Response<Full<Bytes>> {
        self.health.set(up);
        response(StatusCode::OK, PLAIN, if up { "up\n" } else { "down\n" })
    }

    fn set_mood(&self, mood: Mood, told: &'static str) -> Response<Full<Bytes>> {
        self.server.set_mood(mood);
        response(StatusCode::OK, PLAIN, told)
    }

    fn requests(&self) -> Response<Full<Bytes>> {
        let (requests, in_flight) = (self.server.requests(), self.server.in_flight());
        let first = self.server.first_request();
        let first = first.map_or("null".into(), |time| format!("{:.3}", time.as_secs_f64() * 1e3));
        let json = format!(
            "{{\"requests\":{requests},\"in_flight\":{in_flight},\"first_request_ms\":{first}}}\n"
        );
        response(StatusCode::OK, JSON, json)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("server", &self.server)
            .field("health", &self.health)
            .field("metrics", &self.render.is_some())
            .finish()
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn refuse_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let body = format!("method not allowed: use {allowed}\n");
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, body);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{App, Server};

    const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    fn state() -> State {
        let server = Server::bind(ANY.into(), App::new("web")).unwrap();
        State { server: server.handle(), health: Health::default(), render: None }
    }

    #[tokio::test]
    async fn health_flips() {
        let state = state();
        let status = |method: Method, path| state.answer(&method, path).status();
        assert_eq!(status(Method::GET, "/healthz"), StatusCode::OK);
        assert_eq!(status(Method::PUT, "/health/down"), StatusCode::OK);
        assert_eq!(status(Method::HEAD, "/healthz"), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(Method::POST, "/health/up"), StatusCode::OK);
        assert_eq!(status(Method::GET, "/healthz"), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_server_that_drains_is_not_healthy() {
        let state = state();
        state.server.drain(Duration::ZERO);
        let response = state.answer(&Method::GET, "/healthz");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn refuses_what_it_has_not() {
        let state = state();
        let refused = state.answer(&Method::GET, "/health/up");
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[ALLOW], "PUT, POST");
        assert!(state.health.is_up());

        let refused = state.answer(&Method::DELETE, "/metrics");
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[ALLOW], "GET, HEAD");

        for path in ["/", "/metrics"] {
            assert_eq!(state.answer(&Method::GET, path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
