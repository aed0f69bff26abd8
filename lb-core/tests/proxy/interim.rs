//! Bodies that have to be asked for, and answers before the final one.
#![allow(clippy::unwrap_used, reason = "a test")]

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
async fn one_whose_body_was_not_asked_for_is_not_sent_again() {
    let (backend, lb) = site(|_| Reply::new().close()).await;
    let mut client = client(&lb).await;
    client.send(HEAD).await.unwrap();
    assert_eq!(client.answer("POST").await.complete().unwrap().status, 502);
    assert_eq!(backend.requests().len(), 1, "the head may have been all it needed");
}

#[tokio::test]
async fn nor_is_one_whose_body_was_asked_for() {
    let (backend, lb) = site(|_| Reply::new().send(CONTINUE).read_body().close()).await;
    let mut client = client(&lb).await;
    client.send(HEAD).await.unwrap();
    assert_eq!(client.one_answer("POST").await.complete().unwrap().status, 100);
    client.send("hello").await.unwrap();
    assert_eq!(client.answer("POST").await.complete().unwrap().status, 502);
    assert_eq!(backend.requests().len(), 1);
}

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: app.local\r\n\r\n";

#[tokio::test]
async fn hints_are_passed_on_before_there_is_an_answer() {
    let (backend, lb) = site(|_| Reply::answer(HINTS).hold().send(OK)).await;
    let mut client = client(&lb).await;
    for _ in 0..3 {
        client.send(GET).await.unwrap();
        let hint = client.one_answer("GET").await.complete().unwrap();
        assert_eq!((hint.status, hint.text("link").as_deref()), (103, Some("</a.css>")));
        assert_eq!(hint.get("x-hop"), None, "that was for us");
        backend.release();
        assert_eq!(client.answer("GET").await.complete().unwrap().body, b"ok");
    }
}

/// Each in its place: before its own answer, and behind all of the one before.
#[tokio::test]
async fn requests_in_a_row_get_their_own_hints() {
    const REQUESTS: usize = 100;
    const LENGTH: usize = 20_000;
    let (_backend, lb) = site(|seen| {
        let (path, body) = (seen.path(), "x".repeat(LENGTH));
        let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: {path}\r\n\r\n");
        let head = format!("HTTP/1.1 200 OK\r\nX-Path: {path}\r\nContent-Length: {LENGTH}\r\n\r\n");
        Reply::answer([hint.clone(), hint, head, body].concat())
    })
    .await;
    let mut client = client(&lb).await;
    let requests = (0..REQUESTS).map(|n| GET.replace("/ ", &format!("/{n} ")));
    client.send(requests.collect::<String>()).await.unwrap();
    for n in 0..REQUESTS {
        let path = format!("/{n}");
        let answer = client.answer("GET").await.complete().unwrap();
        assert_eq!((answer.text("x-path"), answer.body.len()), (Some(path.clone()), LENGTH));
        let hints: Vec<_> = answer.interim.iter().map(|hint| hint.text("link").unwrap()).collect();
        assert_eq!(hints, [path.clone(), path]);
    }
}

#[tokio::test]
async fn clients_of_http_1_0_get_none() {
    let (_backend, lb) = site(|_| Reply::answer([HINTS, OK].concat())).await;
    let mut client = client(&lb).await;
    client.send("GET / HTTP/1.0\r\nHost: app.local\r\n\r\n").await.unwrap();
    let answer = client.answer("GET").await.complete().unwrap();
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
}

#[tokio::test]
async fn who_is_asked_for_the_body_may_get_hints_too() {
    let (_backend, lb) = site(|_| {
        Reply::new().send([HINTS, CONTINUE].concat()).read_body().send([HINTS, OK].concat())
    })
    .await;
    let mut client = client(&lb).await;
    client.send(HEAD).await.unwrap();
    let mut told = [0; 2];
    for status in &mut told {
        *status = client.one_answer("POST").await.complete().unwrap().status;
    }
    told.sort_unstable();
    assert_eq!(told, [100, 103]);
    client.send("hello").await.unwrap();
    let answer = client.answer("POST").await.complete().unwrap();
    assert_eq!((answer.status, answer.interim.len()), (200, 1));
}
