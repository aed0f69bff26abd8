//! One connection, and one exchange on it at a time.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderName;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Of an answer, as much as a greeting can be behind.
const KEPT: usize = 1024;

/// Longest name that is shown.
const NAME: usize = 40;

/// A connection that is opened when it is needed, and kept for as long as the server
/// keeps it.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer that came to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Who says to have answered.
    pub(crate) name: Option<String>,
}

/// Why there was no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// All connections were busy for as long as an answer may take.
    NotSent,
    /// Connecting was refused.
    Refused,
    /// No connection for another reason.
    Unreachable,
    /// The connection ended before the answer began.
    Closed,
    /// It ended within the answer.
    BrokenOff,
    /// What came is not HTTP.
    NotHttp,
    /// There was no whole answer in time.
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent, as all connections were busy",
            Self::Refused => "connection refused",
            Self::Unreachable => "no connection",
            Self::Closed => "closed before the answer",
            Self::BrokenOff => "broken off within the answer",
            Self::NotHttp => "not an answer of HTTP",
            Self::TimedOut => "no answer in time",
        })
    }
}

impl Connection {
    /// Sends a request and reads its answer to the end.
    pub(crate) async fn exchange(
        &mut self,
        address: SocketAddr,
        request: Request<Full<Bytes>>,
        name_header: Option<&HeaderName>,
    ) -> Result<Answer, Failure> {
        let sender = self.open(address).await?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| if error.is_parse() { Failure::NotHttp } else { Failure::Closed })?;
        read(response, name_header).await
    }

    /// The connection, or a new one where the server has closed it meanwhile, which it
    /// may at any time between two requests.
    async fn open(
        &mut self,
        address: SocketAddr,
    ) -> Result<&mut SendRequest<Full<Bytes>>, Failure> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        if self.sender.is_none() {
            self.sender = Some(connect(address).await?);
        }
        self.sender.as_mut().ok_or(Failure::Unreachable)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Unreachable,
    })?;
    // A request is written at once.
    let _ = stream.set_nodelay(true);
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Closed)?;
    // Its end shows in what the sender says.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}

async fn read(
    response: Response<Incoming>,
    name_header: Option<&HeaderName>,
) -> Result<Answer, Failure> {
    let (head, mut body) = response.into_parts();
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::BrokenOff)?;
        if name_header.is_none()
            && let Some(data) = frame.data_ref()
        {
            let room = KEPT - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    let text = String::from_utf8_lossy(&kept);
    let name = match name_header {
        Some(header) => head.headers.get(header).and_then(|value| value.to_str().ok()),
        None => greeter(&text),
    };
    Ok(Answer { status: head.status, name: name.map(printable) })
}

/// Who greets in this text: `Hi there, I'm served from <name>!`
fn greeter(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("served from ")?;
    let end = rest.find(|c: char| c == '!' || c.is_whitespace()).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

/// A server's text is not to move the cursor.
fn printable(name: &str) -> String {
    name.chars().take(NAME).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_who_greets() {
        assert_eq!(greeter("Hi there, I'm served from web-1!"), Some("web-1"));
        assert_eq!(greeter("Hi there, I'm served from web-1!Hi there, I'm s"), Some("web-1"));
        assert_eq!(greeter("<p>served from 10.0.0.1\n</p>"), Some("10.0.0.1"));
        for text in ["", "Hi there", "served from ", "served from !"] {
            assert_eq!(greeter(text), None, "{text}");
        }
        assert_eq!(printable("a\u{1b}[2Jb"), "a?[2Jb");
    }
}
