//! The life of one client's connection.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time,
};

use super::{
    Accepted, Announced, Guard, HttpService, Limits,
    proxy_protocol::{self, Addresses, Parsed},
    service::{Closing, GivenUp},
    stream::Stream,
    worker::turn_away,
};

/// What the connections of a worker are served with.
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    pub(super) limits: Arc<Limits>,
    announced: Option<Announced>,
    /// Of this worker alone: every connection looks at it each time it is polled,
    /// and must not contend with other workers for that.
    pub(super) stage: watch::Receiver<Stage>,
}

/// How far the end of a worker has come for its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// Every request is to be the last one of its connection.
    Leaving,
    /// What is idle is closed.
    Closing,
}

/// What a connection without a request gets when it is time to close.
pub(super) const LAST_MOMENT: Duration = Duration::from_millis(100);

/// How every connection of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than most requests, and less than a page.
pub(super) const FIRST_READ: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// What is known once a connection has begun.
struct Begun {
    /// What has been read.
    start: BytesMut,
    version: Version,
    /// Whose it is, if somebody else has passed it on.
    addresses: Option<Addresses>,
    secure: bool,
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Version {
    /// The version that this is the beginning of, if that much can be said.
    fn of(start: &[u8]) -> Option<Self> {
        let known = start.len().min(PREFACE.len());
        if start[..known] != PREFACE[..known] {
            Some(Self::Http1)
        } else {
            (known == PREFACE.len()).then_some(Self::Http2)
        }
    }
}

impl Protocols {
    pub(super) fn new(
        limits: Arc<Limits>,
        announced: Option<Announced>,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_header_size(limits.head_size)
            // A head that isn't complete takes up no more than this, either.
            .max_buf_size(limits.head_size.max(LEAST_BUFFER));
        if limits.headers != DEFAULT_HEADERS {
            // Room for the usual number lies on the stack, for others it is allocated.
            http1.max_headers(limits.headers);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
            .max_concurrent_streams(limits.streams)
            .max_send_buf_size(SEND_BUFFER)
            // WebSockets (RFC 8441).
            .enable_connect_protocol()
            .keep_alive_interval(limits.head_timeout);
        Self { http1, http2, limits, announced, stage }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve<S: HttpService>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        mut guard: Guard,
        make: impl FnOnce(Accepted) -> S,
    ) {
        let announced = self.announced.as_ref().is_some_and(|announced| announced(peer.ip()));
        if !announced && !guard.is_of(peer.ip(), &self.limits) {
            return turn_away(&stream);
        }
        let begun = match self.begin(&stream, announced).await {
            Ok(Some(begun)) => begun,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection didn't begin as it should");
                return;
            }
        };
        let Addresses { source: peer, destination: local } =
            begun.addresses.unwrap_or(Addresses { source: peer, destination: local });
        if announced && !guard.is_of(peer.ip(), &self.limits) {
            return turn_away(&stream);
        }
        let service = make(Accepted { peer, local, secure: begun.secure, guard });
        let stream = Stream::new(begun.start, stream, self.limits.send_timeout);
        // In a box: who only connects need not have room for that.
        let served = match begun.version {
            Version::Http1 => Box::pin(self.http1(stream, service)).await,
            Version::Http2 => Box::pin(self.http2(stream, service)).await,
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a client's connection ended early");
        }
    }

    /// Reads until it is known what is spoken; nothing from who doesn't speak in
    /// time. A connection that hyper has read nothing from is closed when it is told
    /// to shut down, though its request may have arrived: so it is handed over with
    /// the request.
    async fn begin(&self, stream: &TcpStream, mut announced: bool) -> io::Result<Option<Begun>> {
        let mut start = BytesMut::new();
        let (mut addresses, mut secure) = (None, false);
        let mut deadline = pin!(time::sleep(self.limits.head_timeout));
        let mut closing = pin!(reached(self.stage.clone(), Stage::Closing));
        let mut is_closing = false;
        loop {
            tokio::select! {
                biased;
                readable = stream.readable() => readable?,
                () = deadline.as_mut() => return Ok(None),
                () = closing.as_mut(), if !is_closing => {
                    is_closing = true;
                    deadline.as_mut().reset(time::Instant::now() + LAST_MOMENT);
                    continue;
                }
            }
            start.reserve(FIRST_READ);
            match stream.try_read_buf(&mut start) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if announced && !start.is_empty() {
                match proxy_protocol::parse(&start).map_err(invalid)? {
                    Parsed::Incomplete { .. } => continue,
                    Parsed::Absent => return Err(invalid("there is no PROXY header")),
                    Parsed::Header(header) => {
                        start.advance(header.length);
                        (addresses, secure) = (header.addresses, header.tls.is_some());
                        announced = false;
                    }
                }
            }
            if let (false, Some(version)) = (start.is_empty(), Version::of(&start)) {
                return Ok(Some(Begun { start, version, addresses, secure }));
            }
        }
    }

    async fn http2<I, S>(&self, mut stream: Stream<I>, service: S) -> hyper::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: HttpService,
    {
        stream.take_turns();
        let given_up = Arc::<GivenUp>::default();
        let service = TowerToHyperService::new(Closing::http2(service, &given_up));
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            served = connection.as_mut() => return served,
            // Closed without a word: who is told to leave may take his time for that.
            () = given_up.too_many() => return Ok(()),
            // It says which requests are the last ones, so none is lost.
            () = reached(self.stage.clone(), Stage::Leaving) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            served = connection => served,
            () = given_up.too_many() => Ok(()),
        }
    }
}

/// What waits to be sent on one stream of HTTP/2: there may be many who take nothing.
const SEND_BUFFER: usize = 64 << 10;

/// What hyper needs at the least.
const LEAST_BUFFER: usize = 8192;

/// What hyper has room for on the stack.
const DEFAULT_HEADERS: usize = 100;

/// Ends when it has come to this, or when nobody is left to say so.
pub(super) async fn reached(mut stage: watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|&stage| stage >= wanted).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_known_as_soon_as_it_can_be() {
        for (start, expected) in [
            (&b""[..], None),
            (b"P", None),
            (b"PR", None),
            (b"PO", Some(Version::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Version::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", Some(Version::Http2)),
            (b"PRI * HTTP/1.1\r\n\r\n", Some(Version::Http1)),
            (b"GET / HTTP/1.1\r\n\r\n", Some(Version::Http1)),
        ] {
            assert_eq!(Version::of(start), expected, "{:?}", String::from_utf8_lossy(start));
        }
    }
}
