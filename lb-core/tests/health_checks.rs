//! Health checks against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::{convert::Infallible, future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use lb_core::{
    EndpointId,
    health::{At, Check, CheckError, Grpc, Health, Http, Monitor, Tcp},
    load::Load,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    time,
};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, health_reporter},
};

type Body = BoxBody<Bytes, Infallible>;

/// Longer than anything here takes: what reaches it hangs.
const HANGS: Duration = Duration::from_secs(20);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nothing listens, and nothing else can for as long as the
/// socket is held.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A server, of HTTP/1 and HTTP/2, that answers by this.
async fn server<F>(
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut first = [0; 3];
            stream.peek(&mut first).await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            let stream = TokioIo::new(stream);
            // A client that leaves is no matter.
            tokio::spawn(async move {
                if &first == b"PRI" {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    _ = builder.serve_connection(stream, service).await;
                } else {
                    _ = http1::Builder::new().serve_connection(stream, service).await;
                }
            });
        }
    });
    address
}

fn text(text: &'static str) -> Body {
    Full::from(text).boxed()
}

/// A body that never ends, and comes as fast as it is read.
fn endless() -> Body {
    let chunk = Bytes::from_static(&[b'x'; 8192]);
    StreamBody::new(stream::repeat_with(move || Ok(Frame::data(chunk.clone())))).boxed()
}

async fn status(status: u16) -> SocketAddr {
    server(move |_| future::ready(Response::builder().status(status).body(text("")).unwrap())).await
}

async fn says(body: impl Fn() -> Body + Clone + Send + Sync + 'static) -> SocketAddr {
    server(move |_| future::ready(Response::new(body()))).await
}

async fn hangs() -> SocketAddr {
    server(|_| future::pending()).await
}

async fn ask(check: &impl Check<SocketAddr>, address: SocketAddr) -> Result<(), CheckError> {
    let id = EndpointId::from("a");
    time::timeout(HANGS, check.check(&id, &address)).await.expect("the check hangs")
}

async fn reason(check: &impl Check<SocketAddr>, address: SocketAddr) -> String {
    ask(check, address).await.expect_err("the check passed").to_string()
}

fn healthz() -> Http {
    Http::get("/healthz").unwrap()
}

#[tokio::test]
async fn tcp_passes_where_something_listens() {
    let (_listener, address) = listen().await;
    assert_eq!(ask(&Tcp::new(), address).await, Ok(()));
    let named = format!("localhost:{}", address.port());
    let id = EndpointId::from("a");
    assert_eq!(Tcp::new().check(&id, &named).await, Ok(()), "names are targets, too");
    let (_held, nobody) = nobody();
    assert!(reason(&Tcp::new(), nobody).await.starts_with("can't connect: "));
}

#[tokio::test]
async fn http_asks_politely() {
    let address = server(|request| async move {
        let header = |name| request.headers()[name].to_str().unwrap().to_owned();
        let asked = format!(
            "{} {} {:?} host={} connection={} agent={}",
            request.method(),
            request.uri(),
            request.version(),
            header("host"),
            header("connection"),
            header("user-agent"),
        );
        Response::new(Full::from(asked).boxed())
    })
    .await;
    let expect = |host: &str| {
        let version = env!("CARGO_PKG_VERSION");
        format!("GET /healthz?deep=1 HTTP/1.1 host={host} connection=close agent=lb-core/{version}")
    };
    let get = || Http::get("/healthz?deep=1").unwrap();
    assert_eq!(ask(&get().body(expect(&address.to_string())), address).await, Ok(()));
    let named = get().host("app.local").unwrap().body(expect("app.local"));
    assert_eq!(ask(&named, address).await, Ok(()));
}

#[tokio::test]
async fn http_passes_with_an_expected_status() {
    assert_eq!(ask(&healthz(), status(204).await).await, Ok(()));
    let wrong = reason(&healthz(), status(503).await).await;
    assert_eq!(wrong, "answers 503 Service Unavailable, not 200 to 299");
    let redirects = healthz().status(300..=399).unwrap();
    assert_eq!(ask(&redirects, status(301).await).await, Ok(()));
    assert!(ask(&redirects, status(200).await).await.is_err());
}

#[tokio::test]
async fn http_looks_for_a_text_in_the_body() {
    let check = healthz().body("status: up");
    let found = says(|| text("all is well, status: up, for a day")).await;
    assert_eq!(ask(&check, found).await, Ok(()));
    let missing = says(|| text("status: down")).await;
    assert_eq!(reason(&check, missing).await, "`status: up` is not in its body");
    let empty = says(|| Empty::new().boxed()).await;
    assert!(ask(&check, empty).await.is_err());
    assert_eq!(ask(&healthz(), missing).await, Ok(()), "nothing is asked of its body");
}

#[tokio::test]
async fn http_finds_a_text_that_comes_in_pieces() {
    let pieces = || {
        let pieces = ["stat", "us", "", ": u", "p"].map(|piece| Ok(Frame::data(piece.into())));
        StreamBody::new(stream::iter(pieces)).boxed()
    };
    assert_eq!(ask(&healthz().body("status: up"), says(pieces).await).await, Ok(()));
    assert!(ask(&healthz().body("status: uq"), says(pieces).await).await.is_err());
}

#[tokio::test]
async fn http_is_not_drowned_by_a_body_without_an_end() {
    let address = says(endless).await;
    let drowned = reason(&healthz().body("y"), address).await;
    assert_eq!(drowned, "`y` is not in the first 64 KiB of its body");
    assert_eq!(ask(&healthz().body("xx"), address).await, Ok(()), "and stops when it has found it");
    assert_eq!(ask(&healthz(), address).await, Ok(()));
}

#[tokio::test]
async fn http_needs_an_answer_in_http() {
    let (_held, nobody) = nobody();
    assert!(reason(&healthz(), nobody).await.starts_with("can't connect: "));
    let (listener, address) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert!(reason(&healthz(), address).await.starts_with("does not answer in HTTP: "));
}

/// Neither of them ends by itself, and both end with their future.
#[tokio::test]
async fn a_server_that_hangs_does_not_pass() {
    let address = hangs().await;
    let id = EndpointId::from("a");
    let checks: [Arc<dyn Check<SocketAddr>>; 2] = [Arc::new(healthz()), Arc::new(Grpc::new())];
    for check in checks {
        let check = check.check(&id, &address);
        assert!(time::timeout(Duration::from_millis(200), check).await.is_err());
    }
}

/// What tonic brings as a health service, on a server of its own.
async fn health_service() -> (HealthReporter, SocketAddr) {
    let (reporter, service) = health_reporter();
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = http2::Builder::new(TokioExecutor::new());
                _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (reporter, address)
}

#[tokio::test]
async fn grpc_passes_where_tonic_says_serving() {
    let (reporter, address) = health_service().await;
    assert_eq!(ask(&Grpc::new(), address).await, Ok(()), "the server as a whole");

    let greeter = Grpc::new().service("hello.Greeter");
    let unknown = reason(&greeter, address).await;
    assert_eq!(unknown, "does not know the service `hello.Greeter`");
    for (status, expected) in [
        (ServingStatus::Serving, Ok(())),
        (ServingStatus::NotServing, Err(CheckError::new("answers NOT_SERVING"))),
        (ServingStatus::Unknown, Err(CheckError::new("answers status 0"))),
        (ServingStatus::Serving, Ok(())),
    ] {
        reporter.set_service_status("hello.Greeter", status).await;
        assert_eq!(ask(&greeter, address).await, expected);
    }
    let long = "x".repeat(1_000);
    reporter.set_service_status(&long, ServingStatus::Serving).await;
    assert_eq!(ask(&Grpc::new().service(long), address).await, Ok(()));
}

/// A gRPC answer with this status, in its head as there is no message.
async fn fails(code: &'static str, message: &'static str) -> SocketAddr {
    server(move |_| {
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", code)
            .header("grpc-message", message);
        future::ready(response.body(Empty::new().boxed()).unwrap())
    })
    .await
}

/// A gRPC answer with this message and, in its trailers, this status.
async fn answers(message: &'static [u8], code: Option<&'static str>) -> SocketAddr {
    let body = move || {
        let trailers: HeaderMap = code
            .map(|code| {
                (http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))
            })
            .into_iter()
            .collect();
        let frames = [Ok(Frame::data(Bytes::from_static(message))), Ok(Frame::trailers(trailers))];
        StreamBody::new(stream::iter(frames)).boxed()
    };
    says(body).await
}

#[tokio::test]
async fn grpc_tells_why_a_server_does_not_pass() {
    let check = Grpc::new();
    let unimplemented = reason(&check, fails("12", "").await).await;
    assert!(unimplemented.starts_with("has no health service (UNIMPLEMENTED)"), "{unimplemented}");
    let failed = reason(&check, fails("14", "try later").await).await;
    assert_eq!(failed, "fails with gRPC status 14: try later");
    let late = answers(&[0, 0, 0, 0, 2, 8, 1], Some("13")).await;
    assert!(reason(&check, late).await.starts_with("fails with gRPC status 13"));
    let empty = answers(&[], Some("5")).await;
    assert_eq!(reason(&check, empty).await, "does not know the service ``");
    let cut = answers(&[0, 0, 0, 0, 2, 8, 1], None).await;
    assert_eq!(reason(&check, cut).await, "answers without a gRPC status");

    let (_held, nobody) = nobody();
    assert!(reason(&check, nobody).await.starts_with("can't connect: "));
    let plain = reason(&check, status(404).await).await;
    assert_eq!(plain, "answers 404 Not Found, which is no gRPC");
    let (listener, address) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let gone = reason(&check, address).await;
    assert!(gone.starts_with("does not answer in HTTP/2: "), "{gone}");
}

#[tokio::test]
async fn grpc_trusts_no_message() {
    let ok = answers(&[0, 0, 0, 0, 2, 8, 1], Some("0")).await;
    assert_eq!(ask(&Grpc::new(), ok).await, Ok(()));
    for message in [
        &b""[..],
        // Compressed; shorter and longer than it says; and two of them.
        &[1, 0, 0, 0, 2, 8, 1],
        &[0, 0, 0, 0, 3, 8, 1],
        &[0, 0, 0, 0, 1, 8, 1],
        &[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1],
    ] {
        let why = reason(&Grpc::new(), answers(message, Some("0")).await).await;
        assert_eq!(why, "answers with something that is no gRPC message", "{message:?}");
    }
    let nonsense = answers(&[0, 0, 0, 0, 1, 8], Some("0")).await;
    let why = reason(&Grpc::new(), nonsense).await;
    assert_eq!(why, "answers with something that is no health status");
    let why = reason(&Grpc::new(), says(endless).await).await;
    assert_eq!(why, "answers with far more than a health status");
}

#[tokio::test]
async fn grpc_asks_for_a_host() {
    let address = server(|request| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let response = Response::builder().header("grpc-status", "14").header("grpc-message", host);
        response.body(Empty::new().boxed()).unwrap()
    })
    .await;
    assert!(reason(&Grpc::new(), address).await.ends_with(&format!(": {address}")));
    let named = Grpc::new().authority("app.local").unwrap();
    assert!(reason(&named, address).await.ends_with(": app.local"));
}

struct Backend {
    admin: SocketAddr,
}

#[tokio::test]
async fn a_monitor_finds_out_who_is_well() {
    let check = At::new(healthz().body("up"), |backend: &Backend| backend.admin);
    let mut monitor = Monitor::new(
        Health::new().check(check).timeout(Duration::from_millis(500)).panic_threshold(0.0),
    );
    let (_held, nobody) = nobody();
    let addresses = [says(|| text("up")).await, status(500).await, hangs().await, nobody];
    let loads: Vec<_> = addresses
        .into_iter()
        .enumerate()
        .map(|(i, admin)| {
            let load = Arc::new(Load::new(true));
            monitor.insert(i.to_string().into(), Backend { admin }, Arc::clone(&load));
            load
        })
        .collect();
    let ready = async {
        while !loads[0].is_ready() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = monitor.run() => {}
        () = ready => {}
        () = time::sleep(HANGS) => panic!("nobody became ready"),
    }
    assert!(loads[1..].iter().all(|load| !load.is_ready()));
}
