//! One request, one answer.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The name in the greeting of app-bin.
    #[track_caller]
    pub(crate) fn served_from(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        greeter(&self.body).unwrap_or_else(|| panic!("no greeting: {self:?}"))
    }
}

/// Who greets in this body.
pub(crate) fn greeter(body: &str) -> Option<&str> {
    body.strip_prefix("Hi there, I'm served from ")?.strip_suffix('!')
}

/// Sends a request over a connection of its own.
pub(crate) fn ask(address: SocketAddr, method: &str, host: &str, path: &str) -> io::Result<Answer> {
    const LIMIT: Duration = Duration::from_secs(30);
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lb-e2e\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let nonsense = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(nonsense)?;
    let head = Head::read(head).ok_or_else(nonsense)?;
    if head.length != Some(body.len()) {
        return Err(nonsense());
    }
    Ok(Answer { status: head.status, body: body.to_owned() })
}

/// What the head of an answer says, as far as a client needs it.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<usize>,
    /// The body says itself where it ends.
    pub(crate) chunked: bool,
    /// The identity of the request that this is the answer to.
    pub(crate) id: Option<String>,
    /// The server closes the connection after this answer.
    pub(crate) last: bool,
}

impl Head {
    /// Reads a head without the empty line that ends it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut head = Self { status, length: None, chunked: false, id: None, last: false };
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().ok()?),
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "x-id" => head.id = Some(value.to_owned()),
                "connection" => head.last = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Some(head)
    }
}
