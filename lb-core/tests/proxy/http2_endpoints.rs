//! Endpoints that speak HTTP/2, and how they leave.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::Reason;
use http::Response;
use lb_core::{Endpoint, http::Options, registry::Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::support::{self, Lb};

/// What it does with the first request of a connection, once its body has begun.
#[derive(Clone, Copy)]
enum Deed {
    /// Answers all with what they have sent.
    Echo,
    /// Says that it has looked at none, and closes.
    GoAway,
    /// The same, once it is told to, and allows no second stream until then.
    GoAwayLater,
    Reset(Reason),
    /// Breaks off.
    Close,
}

static TOLD: Notify = Notify::const_new();

/// One that does so on each of its connections in turn, and echoes on all others; and
/// how many of them carried requests.
async fn endpoint(deeds: &'static [Deed]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let used = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&used);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A probe says nothing.
            if stream.peek(&mut [0]).await.unwrap_or(0) == 0 {
                continue;
            }
            let n = count.fetch_add(1, Ordering::SeqCst);
            match deeds.get(n).copied().unwrap_or(Deed::Echo) {
                Deed::Echo => drop(tokio::spawn(echo(stream))),
                deed => drop(tokio::spawn(refuse(stream, deed))),
            }
        }
    });
    (address, used)
}

async fn echo(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut text = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                text.extend_from_slice(&data);
            }
            let mut answer = respond.send_response(Response::new(()), false).unwrap();
            answer.send_data(Bytes::from(text), true).unwrap();
        });
    }
}

/// Reads the first frame of a body and does that.
async fn refuse(mut stream: TcpStream, deed: Deed) {
    const DATA: u8 = 0;
    stream.read_exact(&mut [0; 24]).await.unwrap();
    let one_stream = [0, 3, 0, 0, 0, 1];
    let settings = if matches!(deed, Deed::GoAwayLater) { &one_stream[..] } else { &[] };
    stream.write_all(&frame(4, 0, settings)).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == DATA {
            break;
        }
    }
    let last = match deed {
        Deed::GoAway => frame(7, 0, &[0; 8]),
        Deed::GoAwayLater => {
            TOLD.notified().await;
            frame(7, 0, &[0; 8])
        }
        Deed::Reset(reason) => frame(3, 1, &u32::from(reason).to_be_bytes()),
        Deed::Echo | Deed::Close => return,
    };
    stream.write_all(&last).await.unwrap();
    // Until the other side has had enough.
    while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
}

fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
}

async fn site(address: SocketAddr, options: Options) -> Lb {
    let lb = Lb::start(options).await;
    let mut registration = support::registration("1", "app.local", address);
    registration.bindings[0].protocol = Protocol::Http2;
    lb.send("1", Endpoint::new(registration));
    lb.ready("app.local", 1).await;
    lb
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// RFC 9113, section 8.7.
#[tokio::test]
async fn what_was_refused_is_sent_again_whatever_the_method() {
    for deed in [&[Deed::GoAway], &[Deed::Reset(Reason::REFUSED_STREAM)]] {
        let (address, used) = endpoint(deed).await;
        let lb = site(address, Options::default()).await;
        let answer = lb.client().await.raw(&post("hello")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
        assert_eq!(used.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not() {
    for deed in [&[Deed::Reset(Reason::INTERNAL_ERROR)], &[Deed::Close]] {
        let (address, used) = endpoint(deed).await;
        let lb = site(address, Options::default()).await;
        assert_eq!(lb.client().await.raw(&post("hello")).await.status, 502);
        assert_eq!(used.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn nor_is_a_body_that_was_not_kept() {
    let (address, _) = endpoint(&[Deed::GoAway]).await;
    let mut options = Options::default();
    options.replay_limit = 4;
    let lb = site(address, options).await;
    assert_eq!(lb.client().await.raw(&post("hello")).await.status, 502);
}

#[tokio::test]
async fn who_refuses_everything_is_given_up() {
    let (address, used) = endpoint(&[Deed::Reset(Reason::REFUSED_STREAM); 10]).await;
    let lb = site(address, Options::default()).await;
    assert_eq!(lb.client().await.raw(&post("hello")).await.status, 502);
    assert_eq!(used.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_waits_for_a_stream_when_the_connection_ends_is_sent_again() {
    let (address, used) = endpoint(&[Deed::GoAwayLater]).await;
    let lb = site(address, Options::default()).await;
    let mut clients = Vec::new();
    for n in 1..=3 {
        let mut client = lb.client().await;
        client.post(&post("hello")).await;
        lb.until(|| lb.report("app.local").endpoints[0].in_flight == n).await;
        clients.push(client);
    }
    TOLD.notify_one();
    for mut client in clients {
        assert_eq!(client.receive().await.unwrap().status, 200);
    }
    assert_eq!(used.load(Ordering::SeqCst), 2);
}

/// All of them need a connection at once, and one is enough.
#[tokio::test]
async fn a_connection_is_opened_once_for_all() {
    let (address, used) = endpoint(&[]).await;
    let lb = site(address, Options::default()).await;
    let stream = TcpStream::connect(lb.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..50 {
        client = client.ready().await.unwrap();
        let request = http::Request::get("http://app.local/").body(()).unwrap();
        answers.push(client.send_request(request, true).unwrap().0);
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!(used.load(Ordering::SeqCst), 1);
}
