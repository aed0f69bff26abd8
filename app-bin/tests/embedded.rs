//! The library: many servers in one process.

// The helpers below are tests, too.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use app_bin::{App, Control, Ended, Health, Server};
use support::Client;

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// The client of the tests blocks, the servers must not.
async fn get(address: SocketAddr, target: &'static str) -> support::Answer {
    tokio::task::spawn_blocking(move || Client::connect(address).get(target)).await.unwrap()
}

#[tokio::test]
async fn servers_in_one_process_are_their_own() {
    let one = Server::bind(ANY.into(), App::new("one")).unwrap();
    let two = Server::bind(ANY.into(), App::new("two")).unwrap();
    let addresses = [one.local_addr(), two.local_addr()];
    let handles = [one.handle(), two.handle()];
    let running = [tokio::spawn(one.run()), tokio::spawn(two.run())];

    assert_eq!(get(addresses[0], "/").await.body, "Hi there, I'm served from one!");
    assert_eq!(get(addresses[1], "/").await.body, "Hi there, I'm served from two!");
    assert_eq!(get(addresses[1], "/").await.status(), 200);
    assert_eq!(handles.each_ref().map(app_bin::Handle::requests), [1, 2]);

    handles[0].stop();
    handles[1].drain(Duration::from_secs(10));
    let [one, two] = running;
    assert_eq!(one.await.unwrap(), Ended::Stopped);
    assert_eq!(two.await.unwrap(), Ended::Drained);
}

#[tokio::test]
async fn a_dropped_server_drops_its_connections() {
    let server = Server::bind(ANY.into(), App::new("web")).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let running = tokio::spawn(server.run());
    let client = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(address);
        client.get("/");
        client
    });
    let mut client = client.await.unwrap();
    assert!(handle.is_serving());
    running.abort();
    tokio::task::spawn_blocking(move || client.wait_closed()).await.unwrap();
    assert!(!handle.is_serving());
}

#[tokio::test]
async fn a_control_port_needs_no_metrics() {
    let server = Server::bind(ANY.into(), App::new("web")).unwrap();
    let health = Health::default();
    let control = Control::bind(ANY.into(), server.handle(), health.clone()).unwrap();
    let address = control.local_addr();
    let running = tokio::spawn(control.run());
    assert_eq!(get(address, "/healthz").await.status(), 200);
    health.set(false);
    assert_eq!(get(address, "/healthz").await.status(), 503);
    assert_eq!(get(address, "/metrics").await.status(), 404);
    running.abort();
}
