//! Clients that speak HTTP/2.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use bytes::Bytes;
use h2::{
    Reason,
    client::{self, SendRequest},
    ext::Protocol,
};
use http::Request;
use lb_core::{
    http::{AccessLog, Destination, Options},
    server::Limits,
};
use tokio::{net::TcpStream, task::JoinHandle};

use super::support::{Backend, Lb};

/// A connection by prior knowledge.
async fn connect(lb: &Lb) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(lb.address).await.unwrap();
    let (sender, connection) = client::handshake(stream).await.unwrap();
    (sender.ready().await.unwrap(), tokio::spawn(connection))
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://app.local{path}")).body(()).unwrap()
}

async fn send(sender: &mut SendRequest<Bytes>, request: Request<()>, body: &'static str) -> String {
    let (answer, mut stream) = sender.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(body.into(), true).unwrap();
    }
    let mut answer = answer.await.unwrap().into_body();
    let mut text = Vec::new();
    while let Some(data) = answer.data().await {
        let data = data.unwrap();
        answer.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    String::from_utf8(text).unwrap()
}

/// Long enough for what comes at all, and over soon.
const SHORT: Duration = Duration::from_millis(200);

/// A balancer in front of one that answers.
async fn site(backend: &Backend) -> Lb {
    limited(backend, Options::default(), |_| ()).await
}

async fn limited(backend: &Backend, options: Options, set: impl FnOnce(&mut Limits)) -> Lb {
    let mut limits = Limits::default();
    set(&mut limits);
    let lb = Lb::limited(options, limits).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    lb
}

#[tokio::test]
async fn requests_share_a_connection() {
    let backend = Backend::slow("slow").await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let answers: Vec<_> = (0..10).map(|_| sender.send_request(get("/"), true).unwrap().0).collect();
    while backend.requests() < answers.len() {
        backend.reached().await;
    }
    backend.release();
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn who_gives_up_what_he_asks_for_is_sent_away() {
    let backend = Backend::slow("slow").await;
    let lb = site(&backend).await;
    let (mut sender, mut connection) = connect(&lb).await;
    let mut asked = 0;
    'open: loop {
        let asks = |_| Some(sender.send_request(get("/"), true).ok()?.1);
        let streams: Vec<_> = (0..50).map_while(asks).collect();
        asked += streams.len();
        // What is reset before it is read, h2 counts itself.
        while backend.requests() < asked {
            tokio::select! {
                () = backend.reached() => {}
                _ = &mut connection => break 'open,
            }
        }
        for mut stream in streams {
            stream.send_reset(Reason::CANCEL);
        }
    }
    assert!((250..400).contains(&asked), "{asked}");
    // Others are none the worse for it.
    let (mut sender, _connection) = connect(&lb).await;
    let answer = sender.send_request(get("/"), true).unwrap().0;
    backend.release();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn they_reach_endpoints_as_what_those_speak() {
    let heads = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&heads);
    let backend = Backend::raw(move |_, head| {
        seen.lock().unwrap().push(head.to_owned());
        Some("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok".into())
    })
    .await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let mut request = get("//a/%2F?b");
    for cookie in ["a=1", "b=2"] {
        request.headers_mut().append("cookie", cookie.parse().unwrap());
    }
    assert_eq!(send(&mut sender, request, "").await, "ok");
    let head = heads.lock().unwrap().pop().unwrap();
    assert!(head.starts_with("GET //a/%2F?b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: app.local\r\n"), "{head}");
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
}

#[tokio::test]
async fn bodies_go_both_ways() {
    let backend = Backend::echo().await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let post = Request::post("http://app.local/").body(()).unwrap();
    assert_eq!(send(&mut sender, post, "hello").await, "hello");
    assert_eq!(send(&mut sender, get("/"), "with a GET").await, "with a GET");
}

#[tokio::test]
async fn two_hosts_in_one_request_are_refused() {
    let backend = Backend::hello("hello").await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let mut request = get("/");
    request.headers_mut().insert("host", "other.local".parse().unwrap());
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!((answer.await.unwrap().status().as_u16(), backend.requests()), (400, 0));
}

#[tokio::test]
async fn who_takes_everything_back_is_sent_away_and_others_are_served() {
    let backend = Backend::slow("slow").await;
    let lb = site(&backend).await;
    let (mut sender, connection) = connect(&lb).await;
    // Far more than anybody needs; it ends when the other side has had enough.
    for _ in 0..100_000 {
        let Ok(mut ready) = sender.clone().ready().await else { break };
        let Ok((_, mut stream)) = ready.send_request(get("/"), true) else { break };
        stream.send_reset(Reason::CANCEL);
        sender = ready;
        tokio::task::yield_now().await;
    }
    let error = connection.await.unwrap().unwrap_err();
    // Why can get lost, as what is sent to a closed connection resets it.
    let calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
    assert!(calm || error.is_io(), "{error}");
    backend.release();
    assert_eq!(lb.client().await.get("app.local", "/").await.body, "slow");
}

/// A request to speak something else on a stream of its own.
fn connect_for(protocol: &'static str) -> Request<()> {
    let mut request = Request::connect("http://app.local/chat").body(()).unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

#[tokio::test]
async fn a_stream_becomes_a_tunnel() {
    let backend = Backend::echo_upgrade().await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let (answer, mut up) = sender.send_request(connect_for("echo"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("upgrade"));
    let mut down = answer.into_body();
    for text in ["hello", "again"] {
        up.send_data(text.into(), false).unwrap();
        assert_eq!(down.data().await.unwrap().unwrap(), text);
    }
    up.send_data(Bytes::new(), true).unwrap();
    while let Some(data) = down.data().await {
        assert_eq!(data.unwrap(), "");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_switch_makes_no_tunnel() {
    let backend = Backend::hello("hello").await;
    let lb = site(&backend).await;
    let (mut sender, _connection) = connect(&lb).await;
    let (answer, _up) = sender.send_request(connect_for("websocket"), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 502);
    let connect = Request::connect("app.local:80").body(()).unwrap();
    let (answer, _up) = sender.send_request(connect, false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 405);
}

#[tokio::test]
async fn the_last_requests_of_a_connection_are_answered() {
    let backend = Backend::slow("slow").await;
    let lb = site(&backend).await;
    let (mut sender, connection) = connect(&lb).await;
    let (answer, _) = sender.send_request(get("/"), true).unwrap();
    backend.reached().await;
    let stopped = tokio::spawn(lb.shutdown(std::time::Duration::from_secs(20)));
    // It is told that there will be no more.
    while sender.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    backend.release();
    assert_eq!(answer.await.unwrap().status(), 200);
    drop(sender);
    connection.await.unwrap().unwrap();
    assert_eq!(stopped.await.unwrap(), 0, "none was cut off");
}

/// What one stream waits for is nothing to the others.
#[tokio::test]
async fn a_stream_of_which_nothing_is_taken_is_reset() {
    let long = "x".repeat(1 << 20);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len());
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let backend = Backend::raw(move |_, head| {
        Some(if head.starts_with("GET /long") { answer.clone() } else { short.into() })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(Destination::File(path.clone()), 1).unwrap();
    let mut options = Options::default();
    options.access_log = Some(log.clone());
    let lb = limited(&backend, options, |limits| limits.send_timeout = SHORT).await;
    let stream = TcpStream::connect(lb.address).await.unwrap();
    let mut builder = client::Builder::new();
    let (sender, connection) =
        builder.initial_connection_window_size(4 << 20).handshake(stream).await.unwrap();
    let (mut sender, _connection) = (sender.ready().await.unwrap(), tokio::spawn(connection));
    let (answer, _) = sender.send_request(get("/long"), true).unwrap();
    let mut untouched = answer.await.unwrap().into_body();
    let error = loop {
        match untouched.data().await.unwrap() {
            Ok(data) => assert!(!data.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason(), error.is_reset()), (Some(Reason::CANCEL), true), "{error}");
    lb.until(|| lb.report("app.local").endpoints[0].in_flight == 0).await;
    assert_eq!(send(&mut sender, get("/"), "").await, "hello");
    log.flush().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().next().unwrap().contains("client_timeout"), "{text}");
}

#[tokio::test]
async fn a_connection_is_told_to_end_once_it_has_had_no_stream_for_a_while() {
    let backend = Backend::slow("slow").await;
    let lb = limited(&backend, Options::default(), |limits| limits.head_timeout = SHORT).await;
    let (mut sender, connection) = connect(&lb).await;
    let (answer, _) = sender.send_request(get("/"), true).unwrap();
    backend.reached().await;
    tokio::time::sleep(2 * SHORT).await;
    backend.release();
    assert_eq!(answer.await.unwrap().status(), 200, "it was not idle");
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_may_have_so_many_requests() {
    let backend = Backend::hello("hello").await;
    let lb = limited(&backend, Options::default(), |limits| limits.requests = Some(2)).await;
    let (mut sender, connection) = connect(&lb).await;
    for _ in 0..2 {
        sender = sender.ready().await.unwrap();
        assert_eq!(send(&mut sender, get("/"), "").await, "hello");
    }
    connection.await.unwrap().unwrap();
    assert!(sender.ready().await.is_err());
}

#[tokio::test]
async fn a_request_may_have_so_many_fields() {
    let backend = Backend::hello("hello").await;
    let lb = limited(&backend, Options::default(), |limits| limits.headers = 3).await;
    let (mut sender, _connection) = connect(&lb).await;
    for (fields, status) in [(3, 200), (4, 431)] {
        let mut request = get("/");
        for _ in 0..fields {
            request.headers_mut().append("a", "b".parse().unwrap());
        }
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status);
    }
    assert_eq!(backend.requests(), 1);
}
