//! WebSockets: tungstenite on both sides.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::{
    before::{HOST, before, connect, soon},
    lb::Lb,
};

type Socket = WebSocketStream<TcpStream>;

/// A server that says everything back; to "ping" and "close" it does so itself. It
/// speaks `chat`, and lets nobody into `/secret`.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Who only looks whether somebody listens says nothing.
                if let Ok(socket) = accept_hdr_async(stream, welcome).await {
                    echo(socket).await;
                }
            });
        }
    });
    address
}

#[allow(clippy::result_large_err, reason = "tungstenite asks for it")]
fn welcome(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() == "/secret" {
        let mut refused = ErrorResponse::new(Some("not for you".into()));
        *refused.status_mut() = StatusCode::FORBIDDEN;
        return Err(refused);
    }
    if request.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|offered| offered == "chat, talk")
    {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat"));
    }
    Ok(response)
}

async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let reply = match message {
            Message::Text(text) if text == "ping" => Message::Ping("are you there?".into()),
            Message::Text(text) if text == "close" => Message::Close(Some(CloseFrame {
                code: CloseCode::Restart,
                reason: "see you".into(),
            })),
            Message::Text(_) | Message::Binary(_) => message,
            // What a client answers to a ping, told as text.
            Message::Pong(data) => {
                Message::Text(format!("pong: {}", String::from_utf8_lossy(&data)).into())
            }
            // Answered by tungstenite.
            Message::Ping(_) | Message::Close(_) | Message::Frame(_) => continue,
        };
        if socket.send(reply).await.is_err() {
            return;
        }
    }
}

async fn open(lb: &Lb, path: &str) -> Result<(Socket, http::Response<Option<Vec<u8>>>), Error> {
    let mut request = format!("ws://{HOST}{path}").into_client_request().unwrap();
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat, talk"));
    soon(client_async(request, connect(lb).await)).await
}

async fn next(socket: &mut Socket) -> Message {
    soon(socket.next()).await.expect("it goes on").unwrap()
}

#[tokio::test]
async fn messages_of_all_kinds_go_both_ways() {
    let lb = before(server().await, "http").await;
    let (mut socket, answer) = open(&lb, "/").await.unwrap();
    assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "chat");

    for message in [
        Message::text("grüß dich"),
        Message::text(""),
        Message::binary(vec![0, 255, 10, 13]),
        // Longer than any buffer on the way.
        Message::binary((0..8 << 20).map(|at: u32| at.to_le_bytes()[1]).collect::<Vec<_>>()),
    ] {
        // Both at once: neither side waits with reading until it has written.
        let (mut sink, mut stream) = socket.split();
        let (sent, back) =
            soon(async { tokio::join!(sink.send(message.clone()), stream.next()) }).await;
        sent.unwrap();
        assert!(back.unwrap().unwrap() == message, "{} bytes", message.len());
        socket = sink.reunite(stream).unwrap();
    }
}

#[tokio::test]
async fn a_message_in_pieces_is_one() {
    let lb = before(server().await, "http").await;
    let (mut socket, _) = open(&lb, "/").await.unwrap();
    let piece = |text: &'static str, code, is_last| {
        Message::Frame(Frame::message(text, OpCode::Data(code), is_last))
    };
    socket.send(piece("in ", Data::Text, false)).await.unwrap();
    // Control frames may come between them.
    socket.send(Message::Ping("now".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("now".into()));
    socket.send(piece("two ", Data::Continue, false)).await.unwrap();
    socket.send(piece("three", Data::Continue, true)).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("in two three"));
}

#[tokio::test]
async fn either_side_may_ping_and_close() {
    let lb = before(server().await, "http").await;
    let (mut socket, _) = open(&lb, "/").await.unwrap();
    socket.send(Message::Ping("hello".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("hello".into()));
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Ping("are you there?".into()));
    assert_eq!(next(&mut socket).await, Message::text("pong: are you there?"));

    let bye = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    socket.close(Some(bye.clone())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Close(Some(bye)));
    assert!(soon(socket.next()).await.is_none(), "closed by both");

    let (mut socket, _) = open(&lb, "/").await.unwrap();
    socket.send(Message::text("close")).await.unwrap();
    let bye = CloseFrame { code: CloseCode::Restart, reason: "see you".into() };
    assert_eq!(next(&mut socket).await, Message::Close(Some(bye)));
    assert!(soon(socket.next()).await.is_none(), "closed by both");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so() {
    let lb = before(server().await, "http").await;
    match open(&lb, "/secret").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::FORBIDDEN),
        other => panic!("{other:?}"),
    }
}
