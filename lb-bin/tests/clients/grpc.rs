//! gRPC: tonic on both sides. Its messages are plain text, so no code is generated.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use hyper::{body::Incoming, client, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    task::JoinSet,
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::{
    before::{HOST, before, connect, counted, soon, with},
    lb::Lb,
};

#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        let text = String::from_utf8(bytes.into());
        text.map(Some).map_err(|error| Status::data_loss(error.to_string()))
    }
}

const SAY: &str = "/test.Echo/Say";
const COLLECT: &str = "/test.Echo/Collect";
const COUNT: &str = "/test.Echo/Count";
const CHAT: &str = "/test.Echo/Chat";

/// Says it back; but what is to fail fails, and what is to hang hangs.
async fn say(request: Request<String>) -> Result<Response<String>, Status> {
    match request.get_ref().as_str() {
        "fail" => Err(failure()),
        "hang" => std::future::pending().await,
        _ => {
            let mut response = Response::new(request.get_ref().clone());
            let asked = request.metadata().get("x-asked").cloned();
            asked.and_then(|asked| response.metadata_mut().insert("x-answered", asked));
            Ok(response)
        }
    }
}

/// With all that one can have.
fn failure() -> Status {
    let mut status = Status::with_details(
        Code::ResourceExhausted,
        "no more, \u{fc}ber all: 100%",
        vec![0, 1, 254, 255].into(),
    );
    status.metadata_mut().insert("x-why", "because".parse().unwrap());
    status
}

async fn collect(request: Request<Streaming<String>>) -> Result<Response<String>, Status> {
    let mut parts = request.into_inner();
    let mut all = String::new();
    while let Some(part) = parts.message().await? {
        all += &part;
    }
    Ok(Response::new(all))
}

type Texts = futures_util::stream::BoxStream<'static, Result<String, Status>>;

/// Counts up to the number, and fails behind it if told so: `3 fail`.
async fn count(request: Request<String>) -> Result<Response<Texts>, Status> {
    let text = request.into_inner();
    let (to, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let to: u32 = to.parse().map_err(|_| Status::invalid_argument("not a number"))?;
    let end = (rest == "fail").then(|| Err(failure()));
    let numbers = (1..=to).map(|number| Ok(number.to_string()));
    Ok(Response::new(stream::iter(numbers.chain(end)).boxed()))
}

async fn chat(request: Request<Streaming<String>>) -> Result<Response<Texts>, Status> {
    let said = request.into_inner();
    Ok(Response::new(said.map(|text| text.map(|text| format!("{text}!"))).boxed()))
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = tonic::server::Grpc::new(Text);
    Ok(match request.uri().path() {
        SAY => grpc.unary(tower::service_fn(say), request).await,
        COLLECT => grpc.client_streaming(tower::service_fn(collect), request).await,
        COUNT => grpc.server_streaming(tower::service_fn(count), request).await,
        CHAT => grpc.streaming(tower::service_fn(chat), request).await,
        _ => Status::unimplemented("no such call").into_http(),
    })
}

/// A server until it is dropped, or dies before that.
struct Server {
    address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<JoinSet<()>>>::default();
        let all = Arc::downgrade(&connections);
        connections.lock().unwrap().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(all) = all.upgrade() else { return };
                let http = http2::Builder::new(TokioExecutor::new());
                let served = http.serve_connection(TokioIo::new(stream), service_fn(answer));
                all.lock().unwrap().spawn(async move { drop(served.await) });
            }
        });
        Self { address, connections }
    }

    /// Closes everything at once, in the middle of whatever it does.
    fn die(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

async fn client(lb: &Lb, host: &str) -> Grpc<Channel> {
    let channel = Channel::from_shared(format!("http://{}", lb.address())).unwrap();
    let channel = channel.origin(format!("http://{host}").parse().unwrap());
    let mut client = Grpc::new(soon(channel.connect()).await.unwrap());
    client.ready().await.unwrap();
    client
}

async fn ask<T>(client: &mut Grpc<T>, text: &str) -> Result<Response<String>, Status>
where
    T: GrpcService<Body>,
    T::Error: std::fmt::Debug,
    T::ResponseBody: Send + 'static,
    <T::ResponseBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    client.ready().await.unwrap();
    let mut request = Request::new(text.to_owned());
    request.metadata_mut().insert("x-asked", "so".parse().unwrap());
    soon(client.unary(request, PathAndQuery::from_static(SAY), Text)).await
}

/// What comes of a channel.
fn coming(mut texts: mpsc::Receiver<String>) -> impl Stream<Item = String> {
    stream::poll_fn(move |cx| texts.poll_recv(cx))
}

fn is_failure(status: &Status) {
    let expected = failure();
    assert_eq!((status.code(), status.message()), (expected.code(), expected.message()));
    assert_eq!(status.details(), expected.details());
    assert_eq!(status.metadata().get("x-why"), expected.metadata().get("x-why"));
}

#[tokio::test]
async fn a_call_has_an_answer_or_a_status() {
    let server = Server::start().await;
    let lb = before(server.address, "h2c").await;
    let mut client = client(&lb, HOST).await;
    let answer = ask(&mut client, "hello").await.unwrap();
    assert_eq!(answer.metadata().get("x-answered").unwrap(), "so");
    assert_eq!(answer.metadata().get("grpc-status").unwrap(), "0", "of the trailers");
    assert_eq!(answer.get_ref(), "hello");
    // Longer than any window on the way.
    let long = "0123456789abcdef".repeat(3 << 16);
    assert!(ask(&mut client, &long).await.unwrap().into_inner() == long);
    is_failure(&ask(&mut client, "fail").await.unwrap_err());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/test.Echo/Nothing");
    let error = client.unary::<_, String, _>(Request::new(String::new()), path, Text).await;
    assert_eq!(error.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn streams_go_up_down_and_both_ways() {
    let server = Server::start().await;
    let lb = before(server.address, "h2c").await;
    let mut client = client(&lb, HOST).await;

    let parts = stream::iter(["a", "b", "", "c"].map(String::from));
    let path = PathAndQuery::from_static(COLLECT);
    let all = soon(client.client_streaming(Request::new(parts), path, Text)).await.unwrap();
    assert_eq!(all.into_inner(), "abc");

    for (asked, fails) in [("1000", false), ("3 fail", true), ("0", false)] {
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static(COUNT);
        let request = Request::new(asked.to_owned());
        let answer = soon(client.server_streaming(request, path, Text)).await.unwrap();
        let mut numbers = answer.into_inner();
        let mut last = 0;
        let end: Result<(), Status> = loop {
            match soon(numbers.message()).await {
                Ok(Some(number)) => {
                    last += 1;
                    assert_eq!(number, last.to_string());
                }
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        assert!(asked.starts_with(&last.to_string()), "{last} of {asked}");
        assert_eq!(end.is_err(), fails);
        end.iter().for_each(|()| assert!(!fails));
        if let Err(status) = end {
            is_failure(&status);
        }
    }

    // Each answer is there before the next word is said.
    client.ready().await.unwrap();
    let (say, said) = mpsc::channel(1);
    let path = PathAndQuery::from_static(CHAT);
    let answer = soon(client.streaming(Request::new(coming(said)), path, Text)).await.unwrap();
    let mut heard = answer.into_inner();
    for word in ["one", "two", "three"] {
        say.send(word.to_owned()).await.unwrap();
        assert_eq!(soon(heard.message()).await.unwrap(), Some(format!("{word}!")));
    }
    drop(say);
    assert_eq!(soon(heard.message()).await.unwrap(), None);
    let trailers = heard.trailers().await.unwrap().unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
}

#[tokio::test]
async fn who_leaves_a_stream_takes_up_nothing_more() {
    let server = Server::start().await;
    let lb = before(server.address, "h2c").await;
    let mut client = client(&lb, HOST).await;
    let (say, said) = mpsc::channel(1);
    let path = PathAndQuery::from_static(CHAT);
    let answer = soon(client.streaming(Request::new(coming(said)), path, Text)).await.unwrap();
    let mut heard = answer.into_inner();
    say.send("one".into()).await.unwrap();
    soon(heard.message()).await.unwrap();
    let in_flight = format!("lb_requests_in_flight{{endpoint=\"{}\"}}", server.address);
    counted(&lb, &format!("{in_flight} 1")).await;
    drop((say, heard));
    counted(&lb, &format!("{in_flight} 0")).await;
    assert!(ask(&mut client, "the connection goes on").await.is_ok());
}

/// By a client that leaves the deadline to others, as tonic's own doesn't.
#[tokio::test]
async fn a_deadline_is_kept_by_the_balancer() {
    let server = Server::start().await;
    let lb = before(server.address, "h2c").await;
    let stream = TokioIo::new(connect(&lb).await);
    let (sender, connection) =
        client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let mut client = Grpc::with_origin(service, format!("http://{HOST}").parse().unwrap());
    let mut request = Request::new("hang".to_owned());
    request.set_timeout(Duration::from_millis(200));
    let error = soon(client.unary::<_, String, _>(request, PathAndQuery::from_static(SAY), Text));
    let error = error.await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    counted(&lb, "lb_local_replies_total{reason=\"upstream_timeout\"} 1").await;
    // Who is in time is left alone.
    let mut request = Request::new("quick".to_owned());
    request.set_timeout(Duration::from_secs(60));
    let answer = soon(client.unary(request, PathAndQuery::from_static(SAY), Text)).await;
    let answer: String = answer.unwrap().into_inner();
    assert_eq!(answer, "quick");
}

#[tokio::test]
async fn what_the_balancer_has_to_say_is_a_status() {
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap();
    let lb = with(address, "h2c", |lb| {
        lb.env("LB_WAIT", "50ms");
    });
    let lb = lb.await;
    for (host, message) in [
        ("nobody.local", "nothing here answers for this host"),
        (HOST, "no server is ready, try again soon"),
    ] {
        let error = ask(&mut client(&lb, host).await, "hello").await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unavailable, message));
    }
}

#[tokio::test]
async fn a_stream_whose_server_dies_ends_in_an_error() {
    let server = Server::start().await;
    let lb = before(server.address, "h2c").await;
    let mut client = client(&lb, HOST).await;
    let (say, said) = mpsc::channel(1);
    let path = PathAndQuery::from_static(CHAT);
    let answer = soon(client.streaming(Request::new(coming(said)), path, Text)).await.unwrap();
    let mut heard = answer.into_inner();
    say.send("one".into()).await.unwrap();
    assert_eq!(soon(heard.message()).await.unwrap().unwrap(), "one!");
    server.die();
    let error = soon(heard.message()).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal, "{error}");
    counted(&lb, "lb_truncated_answers_total{reason=\"upstream_reset\"} 1").await;
}
