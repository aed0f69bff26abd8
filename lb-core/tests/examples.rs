//! The examples, run against real servers, one of which dies on the way.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::duplicate_mod, dead_code, reason = "each example is a program of its own")]

#[path = "../examples/axum_service.rs"]
mod axum_service;
#[path = "../examples/plain_service.rs"]
mod plain_service;
#[path = "../examples/reqwest_client.rs"]
mod reqwest_client;
#[path = "../examples/servers/mod.rs"]
mod servers;
#[path = "../examples/tonic_client.rs"]
mod tonic_client;

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use http::{StatusCode, Uri};
use lb_core::{Balance, EndpointId, balance::Algorithm, discovery, load::OnBodyEnd};
use servers::{Server, Servers};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// How often each of them answered a thousand calls, once the first was dead.
#[track_caller]
fn assert_shared(servers: &Servers) {
    let [dead, others @ ..] = &servers.0;
    assert!(dead.is_dead());
    let answered = others.each_ref().map(Server::answered);
    assert!(answered.iter().sum::<usize>() >= 1000 - 49, "{answered:?}");
    assert!(answered.iter().all(|&n| n >= 400), "{answered:?}");
}

#[tokio::test]
async fn tonic_client_loses_no_call() {
    let servers = Servers::start(servers::grpc).unwrap();
    tonic_client::run(servers.urls(), 1000).await.unwrap();
    assert_shared(&servers);
}

#[tokio::test]
async fn reqwest_client_loses_no_request() {
    let servers = Servers::start(servers::http).unwrap();
    reqwest_client::run(servers.urls(), 1000).await.unwrap();
    assert_shared(&servers);
}

#[tokio::test]
async fn plain_service_loses_no_request() {
    let servers = Servers::start(servers::lines).unwrap();
    plain_service::run(servers.addresses(), 20).await.unwrap();
    let [dead, others @ ..] = &servers.0;
    assert!(dead.is_dead());
    assert!(others.iter().all(|server| server.answered() > 0));
}

#[tokio::test]
async fn plain_service_asks_the_same_server_again() {
    let servers: [_; 3] =
        std::array::from_fn(|_| Server::start(servers::lines, usize::MAX).unwrap());
    plain_service::run(servers.each_ref().map(|server| server.address).into(), 20).await.unwrap();
    let answered = servers.each_ref().map(Server::answered);
    assert!(answered.iter().all(|&n| n > 0 && n % 20 == 0), "{answered:?}");
}

/// Serves the example; says where.
async fn serve(backends: Vec<Uri>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, axum_service::service(backends)).await });
    format!("http://{address}")
}

#[tokio::test]
async fn axum_service_answers_every_visitor() {
    let servers = Servers::start(servers::http).unwrap();
    let url = serve(servers.urls()).await;
    let client = reqwest::Client::new();
    let visit = async |_| {
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.text().await.unwrap().starts_with("hello from 127.0.0.1:"));
    };
    stream::iter(0..1000).map(visit).buffer_unordered(8).for_each(async |()| {}).await;
    assert_shared(&servers);
}

#[tokio::test]
async fn axum_service_keeps_nobody_waiting() {
    // Nobody accepts, so nobody answers.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", hangs.local_addr().unwrap()).parse().unwrap();
    let url = serve(vec![uri]).await;
    let asked = Instant::now();
    let status = reqwest::get(&url).await.unwrap().status();
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(asked.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_lease_of_grpc_lasts_as_long_as_its_stream() {
    let server = Server::start(servers::grpc, usize::MAX).unwrap();
    let connect = |_: &EndpointId, uri: &Uri| Channel::builder(uri.clone()).connect_lazy();
    let endpoints = discovery::fixed([server.url::<Uri>().unwrap()]);
    let (balance, driver) = Balance::new(endpoints, connect, Algorithm::LeastRequest);
    driver.run().await;
    let load = balance.cluster().unwrap().members()[0].load.clone();
    let mut client = HealthClient::new(balance.complete_with(OnBodyEnd));

    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!((load.in_flight(), load.results().successes), (1, 1), "the stream goes on");
    drop(watch);
    assert_eq!((load.in_flight(), load.results().successes), (0, 1), "it was cancelled");
}
