//! Bodies that have to be asked for, and answers before the final one.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use lb_core::{
    http::Options,
    testing::wire::{Backend, Client, End, Reply, Seen},
};

use super::support::Lb;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEAD: &str =
    "POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

async fn site(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Backend, Lb) {
    let backend = Backend::start(script).unwrap();
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address());
    lb.ready("app.local", 1).await;
    (backend, lb)
}

async fn client(lb: &Lb) -> Client {
    Client::connect(lb.address).await.unwrap()
}

#[tokio::test]
async fn a_body_is_asked_for_when_the_endpoint_does() {
    let (_backend, lb) = site(|_| Reply::new().send(CONTINUE).read_body().send(OK)).await;
    let mut client = client(&lb).await;
    for _ in 0..2 {
        client.send(HEAD).await.unwrap();
        assert_eq!(client.one_answer("POST").await.complete().unwrap().status, 100);
        client.send("hello").await.unwrap();
        assert_eq!(client.answer("POST").await.complete().unwrap().body, b"ok");
    }
}

#[tokio::test]
async fn a_body_that_is_not_asked_for_is_not_sent() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
    let (backend, lb) = site(move |_| Reply::early(refusal)).await;
    for connections in 1..=2 {
        let mut client = client(&lb).await;
        client.send(HEAD).await.unwrap();
        let answer = client.answer("POST").await.complete().unwrap();
        assert_eq!((answer.status, answer.interim.len()), (401, 0));
        // What comes next may be the body or not.
        assert!(answer.lists("connection", "close"), "{answer:?}");
        assert_eq!(client.rest().await.1, End::Closed);
        let used = backend.connections().iter().filter(|one| !one.requests.is_empty()).count();
        assert_eq!(used, connections, "the one to the endpoint isn't used again");
    }
}

#[tokio::test]
async fn one_whose_body_was_not_asked_for_is_sent_again() {
    let requests = AtomicUsize::new(0);
    let (_backend, lb) = site(move |_| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new().close(),
        _ => Reply::new().send(CONTINUE).read_body().send(OK),
    })
    .await;
    let mut client = client(&lb).await;
    client.send(HEAD).await.unwrap();
    assert_eq!(client.one_answer("POST").await.complete().unwrap().status, 100);
    client.send("hello").await.unwrap();
    assert_eq!(client.answer("POST").await.complete().unwrap().body, b"ok");
}

#[tokio::test]
async fn one_whose_body_was_asked_for_is_not() {
    let (backend, lb) = site(|_| Reply::new().send(CONTINUE).read_body().close()).await;
    let mut client = client(&lb).await;
    client.send(HEAD).await.unwrap();
    assert_eq!(client.one_answer("POST").await.complete().unwrap().status, 100);
    client.send("hello").await.unwrap();
    assert_eq!(client.answer("POST").await.complete().unwrap().status, 502);
    assert_eq!(backend.requests().len(), 1);
}
