use std::{error, fmt, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time};

use super::{
    message::Answer,
    parse,
    stream::{End, Fault, Wire},
};

/// A connection that sends exactly the bytes it is told to.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

/// What came where an answer was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// All of an answer.
    Complete(Answer),
    /// The head of an answer and not all of its body, and what was seen instead of
    /// the rest.
    Truncated(Answer, End),
    /// Something that isn't HTTP: the bytes, and what is wrong with them.
    Garbage(Vec<u8>, String),
    /// Nothing, or not even a whole head, of which these bytes came.
    Nothing(Vec<u8>, End),
}

/// What was received instead of a complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete(pub Box<Received>);

/// How long the other side may be silent, unless told otherwise.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two pieces: enough for them to be read one by one.
const BETWEEN_PIECES: Duration = Duration::from_millis(5);

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody accepts there within ten seconds.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = time::timeout(LIMIT, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { wire: Wire::new(stream, LIMIT)? })
    }

    /// How long the other side may be silent, or not read, each time it is waited
    /// for; ten seconds.
    pub fn limit(&mut self, limit: Duration) {
        self.wire.limit = limit;
    }

    /// Where this connection comes from.
    ///
    /// # Errors
    ///
    /// It has failed.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.wire.stream().local_addr()
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// The other side has closed the connection, or doesn't read. An answer may
    /// have come nevertheless.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write(bytes.as_ref()).await
    }

    /// Sends these pieces, one packet each, with a moment between them.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_in_pieces<B: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = B>,
    ) -> io::Result<()> {
        for piece in pieces {
            self.wire.write(piece.as_ref()).await?;
            time::sleep(BETWEEN_PIECES).await;
        }
        Ok(())
    }

    /// The next answer, to a request with this method. Those with a status below
    /// 200 are found in the final one; 101 is final.
    pub async fn answer(&mut self, method: &str) -> Received {
        let mut interim = Vec::new();
        loop {
            match self.one_answer(method).await {
                Received::Complete(answer) if is_interim(&answer) => interim.push(answer),
                Received::Complete(answer) => {
                    return Received::Complete(Answer { interim, ..answer });
                }
                Received::Truncated(answer, end) => {
                    return Received::Truncated(Answer { interim, ..answer }, end);
                }
                other => return other,
            }
        }
    }

    /// The next answer, whatever its status.
    pub async fn one_answer(&mut self, method: &str) -> Received {
        let start = self.wire.position();
        let head = match self.wire.head().await {
            Ok((line, headers)) => parse::answer(&line, headers, method).map_err(Fault::Malformed),
            Err(fault) => Err(fault),
        };
        let mut answer = match head {
            Ok(answer) => answer,
            Err(Fault::Ended(end)) => return Received::Nothing(self.wire.since(start), end),
            Err(Fault::Malformed(why)) => return Received::Garbage(self.wire.since(start), why),
        };
        let body = self.wire.body(answer.framing, &mut answer.body, &mut answer.trailers);
        match body.await {
            Ok(()) => Received::Complete(answer),
            Err(Fault::Ended(end)) => Received::Truncated(answer, end),
            Err(Fault::Malformed(why)) => Received::Garbage(self.wire.since(start), why),
        }
    }

    /// What comes behind what has been read: bytes, up to the end or to a silence.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        let (rest, end) = self.bytes(u64::MAX).await;
        // So much can't have come.
        (rest, end.unwrap_or(End::Silent))
    }

    /// So many of the bytes that come next, whatever they are, or fewer and why there
    /// aren't more: for what goes on in tunnels.
    pub async fn bytes(&mut self, count: u64) -> (Vec<u8>, Option<End>) {
        let mut bytes = Vec::new();
        let end = self.wire.take(count, &mut bytes).await.err();
        (bytes, end)
    }

    /// All bytes received so far.
    pub fn heard(&self) -> Vec<u8> {
        self.wire.heard().bytes().clone()
    }

    /// Says that nothing more will be sent (FIN), and goes on reading.
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.wire.half_close().await
    }

    /// Breaks the connection off (RST).
    ///
    /// # Errors
    ///
    /// The connection has failed; it is closed then.
    pub fn abort(self) -> io::Result<()> {
        self.wire.abort()
    }
}

fn is_interim(answer: &Answer) -> bool {
    answer.status < 200 && answer.status != 101
}

impl Received {
    /// The answer, if all of it came.
    ///
    /// # Errors
    ///
    /// It didn't.
    pub fn complete(self) -> Result<Answer, Incomplete> {
        match self {
            Self::Complete(answer) => Ok(answer),
            other => Err(Incomplete(Box::new(other))),
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete(answer) => write!(f, "{}", answer.status),
            Self::Truncated(answer, end) => {
                write!(f, "{} cut off after {} bytes ({end})", answer.status, answer.body.len())
            }
            Self::Garbage(_, why) => write!(f, "not HTTP: {why}"),
            Self::Nothing(some, end) if some.is_empty() => write!(f, "no answer ({end})"),
            Self::Nothing(some, end) => write!(f, "no answer but {} ({end})", some.escape_ascii()),
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no complete answer: {}", self.0)
    }
}

impl error::Error for Incomplete {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wire::{Backend, Reply};

    async fn got(reply: Reply, method: &str) -> (Received, Client) {
        let backend = Backend::start(move |_| reply.clone()).unwrap();
        let mut client = Client::connect(backend.address()).await.unwrap();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await.unwrap();
        let received = client.answer(method).await;
        (received, client)
    }

    fn body(received: Received) -> Vec<u8> {
        received.complete().unwrap().body
    }

    #[tokio::test]
    async fn an_answer_ends_where_its_framing_says() {
        let (whole, mut client) =
            got(Reply::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!").close(), "GET")
                .await;
        assert_eq!(body(whole), b"hi");
        assert_eq!(client.bytes(0).await, (Vec::new(), None));
        assert_eq!(client.rest().await, (b"!".to_vec(), End::Closed));
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x\r\ni\r\n0\r\nT: 1\r\n\r\n";
        let whole = got(Reply::answer(chunks), "GET").await.0.complete().unwrap();
        assert_eq!((&whole.body[..], whole.trailers.text("t").as_deref()), (&b"hi"[..], Some("1")));
        let open = Reply::answer("HTTP/1.1 200 OK\r\n\r\nhi").close();
        assert_eq!(body(got(open, "GET").await.0), b"hi");
        let none = Reply::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        assert_eq!(body(got(none, "HEAD").await.0), b"");
    }

    #[tokio::test]
    async fn what_is_cut_off_is_not_complete() {
        for (text, cut) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "hi"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "hi"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "hi"),
        ] {
            for (reply, end) in [
                (Reply::answer(text).close(), End::Closed),
                (Reply::answer(text).pause().reset(), End::Reset),
            ] {
                let (Received::Truncated(answer, ended), _) = got(reply, "GET").await else {
                    panic!("complete: {text}");
                };
                assert_eq!((&answer.content()[..], ended), (cut, end), "{text}");
            }
        }
        let reset = got(Reply::answer("HTTP/1.1 200 OK\r\n\r\nhi").pause().reset(), "GET").await.0;
        assert!(matches!(reset, Received::Truncated(_, End::Reset)), "{reset}");
        let nothing = got(Reply::new().close(), "GET").await.0;
        assert_eq!(nothing, Received::Nothing(Vec::new(), End::Closed));
        let half = got(Reply::answer("HTTP/1.1 200 OK\r\nA: b\r\n").close(), "GET").await.0;
        assert_eq!(half, Received::Nothing(b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec(), End::Closed));
    }

    #[tokio::test]
    async fn what_is_not_http_is_garbage() {
        for text in [
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n",
        ] {
            let received = got(Reply::answer(text).close(), "GET").await.0;
            assert!(matches!(received, Received::Garbage(..)), "{text}: {received}");
        }
    }

    #[tokio::test]
    async fn interim_answers_come_with_the_final_one() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\n";
        let answer = got(Reply::answer(text), "GET").await.0.complete().unwrap();
        let interim: Vec<_> = answer.interim.iter().map(|answer| answer.status).collect();
        assert_eq!((answer.status, &interim[..]), (204, &[100, 103][..]));
    }

    #[tokio::test]
    async fn silence_is_told_from_an_end() {
        let backend = Backend::start(|_| Reply::silence()).unwrap();
        let mut client = Client::connect(backend.address()).await.unwrap();
        client.limit(Duration::from_millis(10));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(client.answer("GET").await, Received::Nothing(Vec::new(), End::Silent));
    }
}
