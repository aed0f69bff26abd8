//! What clients and endpoints may take up, and for how long.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use lb_core::{
    http::Options,
    overload::{Memory, Pressure, Watch},
};

use super::support::{Backend, Lb};

/// Long enough for what comes at all, and over soon.
const SHORT: Duration = Duration::from_millis(200);

async fn site(backend: &Backend, set: impl FnOnce(&mut Options)) -> Lb {
    let mut options = Options::default();
    set(&mut options);
    let lb = Lb::start(options).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    lb
}

fn post(framing: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app.local\r\n{framing}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_target_may_be_so_long() {
    let backend = Backend::hello("hello").await;
    let lb = site(&backend, |options| options.uri_limit = 10).await;
    let mut client = lb.client().await;
    assert_eq!(client.get("app.local", "/234567?90").await.status, 200);
    assert_eq!(client.get("app.local", "/234567?901").await.status, 414);
    assert_eq!(client.get("app.local", "/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_head_may_be_so_long_and_have_so_many_fields() {
    let backend = Backend::hello("hello").await;
    let lb = site(&backend, |_| {}).await;
    for (fields, status) in [
        (format!("a: {}\r\n", "x".repeat(60 << 10)), 200),
        (format!("a: {}\r\n", "x".repeat(65 << 10)), 431),
        ("a: b\r\n".repeat(99), 200),
        ("a: b\r\n".repeat(100), 431),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: app.local\r\n{fields}\r\n");
        assert_eq!(lb.client().await.raw(&request).await.status, status, "{}", request.len());
    }
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn a_body_may_be_so_long() {
    let backend = Backend::echo().await;
    let lb = site(&backend, |options| options.body_limit = Some(10)).await;
    let (fits, too_long) = ("0123456789", "0123456789a");
    let mut client = lb.client().await;
    assert_eq!(client.raw(&post("Content-Length: 10", fits)).await.body, fits);
    let chunks = |body: &str| {
        format!("5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &body[..5], body.len() - 5, &body[5..])
    };
    let chunked = |body| post("Transfer-Encoding: chunked", &chunks(body));
    assert_eq!(client.raw(&chunked(fits)).await.body, fits);
    let answered = backend.requests();
    assert_eq!(client.raw(&post("Content-Length: 11", too_long)).await.status, 413);
    assert_eq!(lb.client().await.raw(&chunked(too_long)).await.status, 413);
    assert_eq!(backend.requests(), answered, "nobody has got one whole");
}

#[tokio::test]
async fn the_rest_of_a_body_comes_in_time() {
    let backend = Backend::echo().await;
    let lb = site(&backend, |options| options.body_timeout = SHORT).await;
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = lb.client().await;
        let answer = client.raw(&post(framing, "5\r\n012")).await;
        assert_eq!(answer.status, 408, "{framing}");
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_body_that_is_still_coming_is_broken_off_when_memory_runs_out() {
    let backend = Backend::echo().await;
    let pressure = Pressure::default();
    let lb = site(&backend, |options| options.pressure = pressure.clone()).await;
    let mut client = lb.client().await;
    client.post(&post("Content-Length: 8", "0123")).await;
    lb.until(|| lb.report("app.local").endpoints[0].in_flight == 1).await;
    Watch::new(Memory::of_process(), 1, pressure.clone()).unwrap();
    client.post("4567").await;
    let answer = client.receive().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
    assert_eq!(backend.requests(), 0, "nobody has got it whole");
    pressure.lift();
    assert_eq!(lb.client().await.raw(&post("Content-Length: 2", "ok")).await.body, "ok");
}

#[tokio::test]
async fn an_answer_begins_in_time_and_is_not_asked_for_twice() {
    let [one, two] = [Backend::slow("one").await, Backend::slow("two").await];
    let mut options = Options::default();
    options.answer_timeout = SHORT;
    let lb = Lb::start(options).await;
    lb.upsert("1", "app.local", one.address);
    lb.upsert("2", "app.local", two.address);
    lb.ready("app.local", 2).await;
    let answer = lb.client().await.get("app.local", "/").await;
    assert_eq!((answer.status, one.requests() + two.requests()), (504, 1));
}

/// Nobody answers what hasn't come yet.
#[tokio::test]
async fn the_time_for_an_answer_begins_when_the_body_has_come() {
    let backend = Backend::echo().await;
    let lb = site(&backend, |options| options.answer_timeout = SHORT).await;
    let mut client = lb.client().await;
    client.post(&post("Content-Length: 8", "")).await;
    for piece in ["01", "23", "45", "67"] {
        tokio::time::sleep(SHORT / 2).await;
        client.post(piece).await;
    }
    assert_eq!(client.receive().await.unwrap().body, "01234567");
}

/// To call it gRPC doesn't lift the limits of those who don't speak it.
#[tokio::test]
async fn a_name_lifts_no_limits() {
    let backend = Backend::echo().await;
    let lb = site(&backend, |options| options.body_timeout = SHORT).await;
    let head = "Content-Length: 10\r\nContent-Type: application/grpc";
    let answer = lb.client().await.raw(&post(head, "0")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("4")));
}

#[tokio::test]
async fn of_one_that_has_left_too() {
    let backend = Backend::slow("slow").await;
    let lb = site(&backend, |options| options.answer_timeout = SHORT).await;
    let mut client = lb.client().await;
    client.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
    backend.reached().await;
    lb.remove("1");
    assert_eq!(client.receive().await.unwrap().status, 504);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_broken_off() {
    let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let backend = Backend::raw(move |_, _| Some(part.into())).await;
    let lb = site(&backend, |options| options.idle_timeout = SHORT).await;
    let cut = lb.client().await.try_get("app.local", "/").await.unwrap_err();
    assert!(cut.contains("closed after"), "{cut}");
}
