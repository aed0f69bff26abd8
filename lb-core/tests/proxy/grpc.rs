//! gRPC: a real client, a real server, and the proxy between them.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;

use lb_core::{
    Endpoint,
    http::Options,
    overload::{Memory, Watch},
    registry::{Binding, Protocol, Registration},
};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient},
    server::{HealthReporter, health_reporter},
};

use super::support::{self, Lb};

async fn server() -> (SocketAddr, HealthReporter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = health_reporter();
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    (address, reporter)
}

fn speaks_http2(mut registration: Registration) -> Endpoint<Registration> {
    let with = |binding: &mut Binding| binding.protocol = Protocol::Http2;
    registration.bindings.iter_mut().for_each(with);
    Endpoint::new(registration)
}

async fn client(lb: &Lb, host: &str) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", lb.address)).unwrap();
    let endpoint = endpoint.origin(format!("http://{host}").parse().unwrap());
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn asks(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn calls_streams_and_errors_go_through() {
    let (address, reporter) = server().await;
    let lb = Lb::start(Options::default()).await;
    lb.send("1", speaks_http2(support::registration("1", "app.local", address)));
    lb.ready("app.local", 1).await;
    let mut client = client(&lb, "app.local").await;

    reporter.set_service_status("shop", tonic_health::ServingStatus::Serving).await;
    let answer = client.check(asks("shop")).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let mut watch = client.watch(asks("shop")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    reporter.set_service_status("shop", tonic_health::ServingStatus::NotServing).await;
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);

    let error = client.check(asks("nobody")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
}

#[tokio::test]
async fn many_calls_share_a_connection_to_the_endpoint() {
    let (address, _reporter) = server().await;
    let lb = Lb::start(Options::default()).await;
    lb.send("1", speaks_http2(support::registration("1", "app.local", address)));
    lb.ready("app.local", 1).await;
    let client = client(&lb, "app.local").await;
    let calls = (0..50).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.check(asks("")).await.map(drop) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn more_streams_than_a_connection_carries_take_another_one() {
    let (address, _reporter) = server().await;
    let lb = Lb::start(Options::default()).await;
    lb.send("1", speaks_http2(support::registration("1", "app.local", address)));
    lb.ready("app.local", 1).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut client = client(&lb, "app.local").await;
        for _ in 0..100 {
            let mut watch = client.watch(asks("")).await.unwrap().into_inner();
            watch.message().await.unwrap().unwrap();
            streams.push(watch);
        }
    }
    client(&lb, "app.local").await.check(asks("")).await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_too_long_is_the_clients_fault_here_too() {
    let (address, _reporter) = server().await;
    let mut options = Options::default();
    options.body_limit = Some(4);
    let lb = Lb::start(options).await;
    lb.send("1", speaks_http2(support::registration("1", "app.local", address)));
    lb.ready("app.local", 1).await;
    let request = "POST / HTTP/1.1\r\nHost: app.local\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\n01234\r\n";
    assert_eq!(lb.client().await.raw(request).await.status, 413);
}

#[tokio::test]
async fn what_the_proxy_says_is_a_status_too() {
    let lb = Lb::start(Options::default()).await;
    let error = client(&lb, "nobody.local").await.check(asks("")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(error.message(), "nothing here answers for this host");
}

#[tokio::test]
async fn calls_are_refused_while_memory_is_short_and_connections_stay() {
    let options = Options::default();
    let pressure = options.pressure.clone();
    let lb = Lb::start(options).await;
    let mut client = client(&lb, "nobody.local").await;
    Watch::new(Memory::of_process(), 1, pressure.clone()).unwrap();
    let error = client.check(asks("")).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    pressure.lift();
    let error = client.check(asks("")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "no route, as before: {error}");
}
