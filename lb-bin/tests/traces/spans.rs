//! What spans say of a request.

use std::fs;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::{
    collector::{Collector, Protocol, send_to},
    endpoint::{Endpoint, HOST, before},
    lb::Lb,
    span::{SpanKind, only},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn they_are_those_of_the_conventions() {
    for protocol in Protocol::BOTH {
        let (collector, endpoint) = (Collector::start(protocol), Endpoint::http1().await);
        let lb = before(&endpoint, |lb| {
            send_to(lb, &collector.url(), protocol);
            lb.env("TRUST_DOWNSTREAM_PROXY", "true").env("OTEL_SERVICE_NAME", "front");
            lb.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,host.name=here");
        })
        .await;
        let mut client = lb.client().await;
        let head = format!(
            "GET /404?token=s3cret HTTP/1.1\r\nhost: {HOST}:81\r\nuser-agent: me/1\r\n\
             x-forwarded-proto: https\r\ntracestate: a=1\r\n\
             traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n"
        );
        client.write(&head).await.unwrap();
        assert_eq!(client.receive().await.unwrap().status, 404);

        let spans = collector.take(2).await;
        let server = only(&spans, SpanKind::Server);
        assert_eq!((server.name(), server.trace().as_str()), ("GET app.local", TRACE));
        assert_eq!((server.parent().as_str(), server.state()), ("b7ad6b7169203331", "a=1"));
        assert_eq!(server.is_remote(), Some(true));
        assert!(!server.is_failed(), "that is the client's own fault");
        for (key, value) in [
            ("http.request.method", "GET"),
            ("url.scheme", "https"),
            ("url.path", "/404"),
            ("server.address", HOST),
            ("server.port", "81"),
            ("client.address", "127.0.0.1"),
            ("network.peer.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "me/1"),
            ("http.response.status_code", "404"),
            ("error.type", ""),
            ("lb.service", HOST),
            ("lb.reason", ""),
        ] {
            assert_eq!(server.says(key), value, "{key}");
        }
        assert_ne!(server.says("network.peer.port"), "");

        let attempt = only(&spans, SpanKind::Client);
        let (ip, port) = (endpoint.address.ip().to_string(), endpoint.address.port().to_string());
        assert_eq!((attempt.name(), attempt.trace().as_str()), ("GET", TRACE));
        assert_eq!((attempt.parent(), attempt.is_remote()), (server.id(), Some(false)));
        assert!(attempt.is_failed(), "whoever sends it wants it to be found");
        for (key, value) in [
            ("http.request.method", "GET"),
            ("url.full", &*format!("http://{}/404", endpoint.address)),
            ("server.address", &ip),
            ("server.port", &port),
            ("network.peer.address", &ip),
            ("network.peer.port", &port),
            ("network.protocol.version", "1.1"),
            ("http.response.status_code", "404"),
            ("http.request.resend_count", ""),
            ("error.type", "404"),
            ("container.id", ""),
            ("lb.endpoint", &endpoint.address.to_string()),
        ] {
            assert_eq!(attempt.says(key), value, "{key}");
        }
        let seconds = |key: &str| attempt.says(key).parse::<f64>().unwrap();
        assert!(seconds("lb.connect.duration") <= seconds("lb.first_byte.duration"));
        let (outer, inner) = (server.nanos(), attempt.nanos());
        assert!(outer.contains(inner.start()) && outer.contains(inner.end()), "{spans:?}");

        assert_eq!(endpoint.last("traceparent"), format!("00-{TRACE}-{}-01", attempt.id()));
        assert_eq!(endpoint.last("tracestate"), "a=1");
        for (key, value) in [
            ("service.name", "front"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment.name", "test"),
            ("host.name", "here"),
            ("telemetry.sdk.language", "rust"),
        ] {
            assert_eq!(server.sender(key), value, "{key}");
        }
        assert_ne!(server.sender("service.instance.id"), "");
        assert!(spans.iter().all(|span| !span.text().contains("s3cret")), "{spans:#?}");
    }
}

#[tokio::test]
async fn each_attempt_has_one_whose_id_its_endpoint_is_told() {
    let (collector, endpoint) = (Collector::start(Protocol::Grpc), Endpoint::http1().await);
    let lb = before(&endpoint, |lb| send_to(lb, &collector.url(), Protocol::Grpc)).await;
    endpoint.breaks(2);
    assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
    let spans = collector.take(4).await;
    let server = only(&spans, SpanKind::Server);
    assert_eq!((server.parent().as_str(), server.is_failed()), ("", false));
    assert_eq!(server.sender("service.name"), "lb-bin");
    let mut attempts: Vec<_> =
        spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
    attempts.sort_by_key(|span| *span.nanos().start());
    let told = endpoint.told();
    assert_eq!((attempts.len(), told.len()), (3, 3));
    for ((number, attempt), told) in attempts.iter().enumerate().zip(told) {
        let parent = format!("00-{}-{}-01", server.trace(), attempt.id());
        assert_eq!(told["traceparent"], parent);
        assert_eq!(attempt.parent(), server.id());
        let (count, error) = match number {
            0 => (String::new(), "reset"),
            2 => ("2".to_owned(), ""),
            number => (number.to_string(), "reset"),
        };
        assert_eq!(attempt.says("http.request.resend_count"), count);
        assert_eq!((attempt.says("error.type").as_str(), attempt.is_failed()), (error, number < 2));
    }

    // A POST isn't sent again: what remains is our own answer.
    endpoint.breaks(1);
    let mut client = lb.client().await;
    client.post(HOST, "/", "x").await.unwrap();
    assert_eq!(client.receive().await.unwrap().status, 502);
    let spans = collector.take(2).await;
    let (server, attempt) = (only(&spans, SpanKind::Server), only(&spans, SpanKind::Client));
    assert_eq!(server.says("http.response.status_code"), "502");
    for span in [server, attempt] {
        assert!(span.is_failed(), "{span:?}");
    }
    assert_eq!(server.says("error.type"), "upstream_reset");
    assert_eq!(attempt.says("http.response.status_code"), "");
}

#[tokio::test]
async fn what_the_balancer_answers_itself_has_one_of_its_own() {
    let (collector, endpoint) = (Collector::start(Protocol::Http), Endpoint::http1().await);
    let lb = before(&endpoint, |lb| send_to(lb, &collector.url(), Protocol::Http)).await;
    assert_eq!(lb.client().await.get("nobody", "/x").await.unwrap().status, 503);
    let [server] = &collector.take(1).await[..] else { unreachable!() };
    assert_eq!((server.name(), server.says("lb.service").as_str()), ("GET", ""));
    assert_eq!(server.says("http.response.status_code"), "503");
    assert_eq!((server.says("error.type").as_str(), server.is_failed()), ("no_route", true));

    let mut client = lb.client().await;
    client.write(&format!("BREW / HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.unwrap();
    assert_eq!(client.receive().await.unwrap().status, 200);
    let spans = collector.take(2).await;
    for (kind, name) in [(SpanKind::Server, "HTTP app.local"), (SpanKind::Client, "HTTP")] {
        let span = only(&spans, kind);
        assert_eq!(span.name(), name);
        assert_eq!(span.says("http.request.method"), "_OTHER");
        assert_eq!(span.says("http.request.method_original"), "BREW");
    }
}

#[tokio::test]
async fn a_tunnel_has_one_until_it_ends() {
    let (collector, endpoint) = (Collector::start(Protocol::Grpc), Endpoint::http1().await);
    let lb = before(&endpoint, |lb| send_to(lb, &collector.url(), Protocol::Grpc)).await;
    let mut tunnel = lb.client().await;
    tunnel.upgrade(HOST).await;
    tunnel.echo("ping").await;
    // What ends later arrives earlier.
    assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
    for span in collector.take(2).await {
        assert_eq!(span.says("http.response.status_code"), "200");
    }
    drop(tunnel);
    for span in collector.take(2).await {
        assert_eq!(span.says("http.response.status_code"), "101");
        assert!(!span.is_failed(), "somebody has to close it: {span:?}");
    }
}

#[tokio::test]
async fn streams_of_http2_are_traced_as_well() {
    let (collector, endpoint) = (Collector::start(Protocol::Grpc), Endpoint::http2().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.toml");
    let service = format!(
        "[[service]]\nhost = {HOST:?}\nendpoints = [\"{}\"]\nprotocol = \"grpc\"\n",
        endpoint.address
    );
    fs::write(&path, service).unwrap();
    let lb = Lb::start(|lb| {
        lb.arg("--config").arg(&path);
        send_to(lb, &collector.url(), Protocol::Grpc);
    })
    .await;
    lb.ready(HOST, 1).await;

    let stream = TokioIo::new(TcpStream::connect(lb.address()).await.unwrap());
    let http2 = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = http2.await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{HOST}/pkg.Service/Call"))
        .header("content-type", "application/grpc")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");

    let spans = collector.take(2).await;
    let (server, attempt) = (only(&spans, SpanKind::Server), only(&spans, SpanKind::Client));
    for span in [server, attempt] {
        assert_eq!(span.says("network.protocol.version"), "2");
        assert_eq!(span.says("http.request.method"), "POST");
        assert!(!span.is_failed(), "{span:?}");
    }
    assert_eq!(server.says("url.path"), "/pkg.Service/Call");
    assert_eq!(server.says("server.address"), HOST);
    let parent = format!("00-{}-{}-01", server.trace(), attempt.id());
    assert_eq!(endpoint.last("traceparent"), parent);
}
