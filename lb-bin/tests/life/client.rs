//! A client that sees everything: each answer, and each end of a connection.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time,
};

use crate::lb::LIMIT;

pub(crate) struct Client<S = TcpStream>(BufReader<S>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Whether this is the last one of its connection.
    pub(crate) closes: bool,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        self.send(host, path).await?;
        self.receive().await
    }

    pub(crate) async fn send(&mut self, host: &str, path: &str) -> io::Result<()> {
        self.write(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
    }

    /// Whatever there is to say, byte for byte.
    pub(crate) async fn say(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.write_all(request).await?;
        self.receive().await
    }

    pub(crate) async fn post(&mut self, host: &str, path: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.write(&request).await
    }

    /// Sends these bytes, and leaves the answer for [`receive`](Self::receive).
    pub(crate) async fn write(&mut self, bytes: &str) -> io::Result<()> {
        self.0.write_all(bytes.as_bytes()).await
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Answer> {
        let answer = time::timeout(LIMIT, self.read()).await;
        answer.map_err(|_| io::Error::other("no answer"))?
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let head = self.head().await?;
        let value =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length = value("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.ok_or_else(|| io::Error::other(head.clone()))?];
        self.0.read_exact(&mut body).await?;
        Ok(Answer {
            status: head[9..12].parse().map_err(io::Error::other)?,
            body: String::from_utf8(body).map_err(io::Error::other)?,
            closes: value("connection").is_some_and(|value| value.contains("close")),
        })
    }

    /// Becomes a pipe through the balancer to a server that echoes.
    pub(crate) async fn upgrade(&mut self, host: &str) {
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
        let head = self.head().await.unwrap();
        assert!(head.starts_with("http/1.1 101"), "{head}");
    }

    pub(crate) async fn echo(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut back = vec![0; text.len()];
        time::timeout(LIMIT, self.0.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(back, text.as_bytes());
    }

    /// Waits until the other side closes.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = time::timeout(LIMIT, self.0.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// The next event of a stream of them: what it is called, and what it says. None
    /// where the stream has ended.
    pub(crate) async fn event(&mut self) -> Option<(String, serde_json::Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            let read = time::timeout(LIMIT, self.0.read_line(&mut line)).await;
            if read.expect("no event").ok()? == 0 {
                return None;
            }
            // Each event is in one piece, so no line has the end of one in it.
            if let Some(event) = line.trim_end().strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The head of an answer, in small letters.
    pub(crate) async fn head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await? == 0 {
                let error = format!("closed after {head:?}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
            }
        }
        Ok(head.to_ascii_lowercase())
    }
}
