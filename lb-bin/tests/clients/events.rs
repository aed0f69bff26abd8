//! Server-sent events: each has to arrive before the next one is there.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
    server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    before::{HOST, before, connect, soon},
    lb::Lb,
};

/// Where a test puts the events of one answer.
type Events = mpsc::Sender<&'static str>;

/// A server that hands over each answer it has begun.
async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<(Events, HeaderMap)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (begun, begins) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let begun = begun.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (events, mut published) = mpsc::channel(1);
                begun.send((events, request.headers().clone())).unwrap();
                let body = stream::poll_fn(move |cx| {
                    published.poll_recv(cx).map(|event| {
                        event.map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(event))))
                    })
                });
                let answer = Response::builder().header(header::CONTENT_TYPE, "text/event-stream");
                let answer = answer.body(StreamBody::new(body)).unwrap();
                async { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(
                server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (address, begins)
}

async fn ask(lb: &Lb, version: Version) -> Response<Incoming> {
    let stream = TokioIo::new(connect(lb).await);
    let request = Request::get(format!("http://{HOST}/events"))
        .header(header::HOST, HOST)
        .header(header::ACCEPT, "text/event-stream")
        .header("last-event-id", "41")
        .body(Empty::<Bytes>::new())
        .unwrap();
    if version == Version::HTTP_2 {
        let (mut client, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        client.send_request(request).await.unwrap()
    } else {
        let (mut client, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        client.send_request(request).await.unwrap()
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_one_is_sent() {
    let (address, mut begins) = server().await;
    let lb = before(address, "http").await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        // The head comes before the first event.
        let mut answer = soon(ask(&lb, version)).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (events, asked) = begins.recv().await.unwrap();
        assert_eq!(asked["last-event-id"], "41");
        assert_eq!(asked["accept"], "text/event-stream");
        for event in ["id: 42\ndata: one\n\n", ": still here\n\n", "data: two\ndata: lines\n\n"] {
            events.send(event).await.unwrap();
            let frame = soon(answer.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), event, "{version:?}");
        }
        drop(events);
        let rest = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        assert!(rest.is_empty(), "{version:?}: {rest:?}");
    }
}

#[tokio::test]
async fn the_server_hears_that_nobody_listens_any_more() {
    let (address, mut begins) = server().await;
    let lb = before(address, "http").await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut answer = soon(ask(&lb, version)).await;
        let (events, _) = begins.recv().await.unwrap();
        events.send("data: one\n\n").await.unwrap();
        soon(answer.frame()).await.unwrap().unwrap();
        drop(answer);
        soon(events.closed()).await;
    }
}
