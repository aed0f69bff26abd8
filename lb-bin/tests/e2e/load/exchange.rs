//! One request and its answer, byte by byte: a client that lets nothing pass.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    Plan,
    report::{TRUNCATED, WRONG},
};
use crate::http::{Head, greeter};

/// How bytes are told that belong to no answer.
const MORE: &str = "more than the answer";

impl Plan {
    /// Sends the request of this identity and reads its answer: who gave it, or
    /// what is wrong with it.
    pub(super) async fn exchange(
        &self,
        stream: &mut Option<TcpStream>,
        id: &str,
    ) -> Result<String, String> {
        let kept = match stream.take() {
            Some(open) => is_open(&open)?.then_some(open),
            None => None,
        };
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await.map_err(|error| format!("connect: {error}"))?,
        };
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        open.write_all(self.request(id).as_bytes()).await.map_err(failed("write"))?;

        let mut read = Vec::with_capacity(512);
        let end = loop {
            if let Some(at) = find(&read, b"\r\n\r\n") {
                break at;
            }
            match open.read_buf(&mut read).await.map_err(failed("read"))? {
                0 if read.is_empty() => return Err("closed without an answer".to_owned()),
                0 => return Err("closed within the head".to_owned()),
                _ => {}
            }
        };
        let text = String::from_utf8_lossy(&read[..end]).into_owned();
        let head = Head::read(&text).ok_or_else(|| format!("no answer: {text}"))?;
        let mut body = Body { open: &mut open, read: read.split_off(end + 4) };
        let content = match head.length {
            Some(length) => body.exactly(length).await?,
            None if head.chunked => body.chunks().await?,
            None => return Err("an answer of unknown length".to_owned()),
        };
        if !body.read.is_empty() {
            return Err(MORE.to_owned());
        }
        if !head.last {
            *stream = Some(open);
        }
        // A body that is longer repeats the greeting.
        let first =
            content.iter().position(|&byte| byte == b'!').map_or(content.len(), |at| at + 1);
        let greeting = String::from_utf8_lossy(&content[..first.min(200)]);
        let repeated = content.chunks(first.max(1)).all(|part| content.starts_with(part));
        if head.status != 200 {
            return Err(format!("{}: {}", head.status, greeting.trim()));
        }
        match greeter(&greeting) {
            _ if head.id.as_deref() != Some(id) => Err(WRONG.to_owned()),
            Some(_) if !repeated => Err("another body than the greeting".to_owned()),
            Some(who) if self.only.as_ref().is_none_or(|only| only == who) => Ok(who.to_owned()),
            Some(_) => Err(WRONG.to_owned()),
            None => Err(format!("no greeting: {}", greeting.trim())),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let Some(from) = self.from else { return connect(self.address).await };
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind((from, 0).into())?;
        socket.connect(self.address).await
    }

    fn request(&self, id: &str) -> String {
        let Self { host, query, body, .. } = self;
        let head = format!("/?id={id}{query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lb-e2e\r\n");
        match body {
            None => format!("GET {head}\r\n"),
            Some(length) => {
                let body = "x".repeat(*length);
                format!("POST {head}Content-Length: {length}\r\n\r\n{body}")
            }
        }
    }
}

/// A connection to the balancer.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the other side keeps a connection: as any client does, this one looks
/// before it sends. Nothing is to come that wasn't asked for.
fn is_open(stream: &TcpStream) -> Result<bool, String> {
    match stream.try_read(&mut [0]) {
        Ok(0) => Ok(false),
        Ok(_) => Err(MORE.to_owned()),
        Err(error) => Ok(error.kind() == io::ErrorKind::WouldBlock),
    }
}

/// What of a body has come, and where the rest comes from.
struct Body<'a> {
    open: &'a mut TcpStream,
    read: Vec<u8>,
}

impl Body<'_> {
    /// The next so many bytes.
    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    /// All chunks to the last, which is empty.
    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                self.more().await?;
            };
            let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
            let length = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk {line:?}"))?;
            self.exactly(end + 2).await?;
            let chunk = self.exactly(length + 2).await?;
            if length == 0 {
                return Ok(content);
            }
            content.extend_from_slice(&chunk[..length]);
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        match self.open.read_buf(&mut self.read).await {
            // However it ends, it ends too early.
            Ok(0) | Err(_) => Err(TRUNCATED.to_owned()),
            Ok(_) => Ok(()),
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
