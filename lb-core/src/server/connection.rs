//! The life of one client's connection.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{self, Instant},
};

#[cfg(feature = "tls")]
use super::entrance::Tls;
use super::{
    Accepted, Announced, Closed, Guard, HttpService, Interim, Limits, Open,
    beginning::{Version, announcement},
    entrance::Entrance,
    http2::{Limited, Streams},
    service::BoxError,
    stream::Stream,
};
#[cfg(feature = "tls")]
use crate::tls;

/// What the connections of a worker are served with.
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
    pub(super) limits: Arc<Limits>,
    announced: Option<Announced>,
    open: Arc<Open>,
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

/// Why a connection has ended before its client has closed it.
pub(super) struct Early {
    /// What that was, if it was our doing.
    closed: Option<Closed>,
    error: BoxError,
}

impl Early {
    pub(super) fn because(closed: Closed, error: impl Into<BoxError>) -> Self {
        Self { closed: Some(closed), error: error.into() }
    }

    fn theirs(error: impl Into<BoxError>) -> Self {
        Self { closed: None, error: error.into() }
    }

    /// After this had come.
    fn after(mut self, start: &[u8]) -> Self {
        if self.closed == Some(Closed::Silent) && !start.is_empty() {
            self.closed = Some(Closed::HeadTimeout);
        }
        self
    }
}

impl From<hyper::Error> for Early {
    fn from(error: hyper::Error) -> Self {
        Self { closed: Closed::of(&error), error: error.into() }
    }
}

#[cfg(feature = "tls")]
impl From<tls::HandshakeError> for Early {
    fn from(error: tls::HandshakeError) -> Self {
        let closed = match &error {
            tls::HandshakeError::Challenge { .. } => None,
            tls::HandshakeError::NoCertificate { .. } => Some(Closed::NoCertificate),
            error if error.has_left() => None,
            _ => Some(Closed::Handshake),
        };
        Self { closed, error: error.into() }
    }
}

impl Protocols {
    pub(super) fn new(
        limits: Arc<Limits>,
        announced: Option<Announced>,
        open: Arc<Open>,
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
        Self { http1, limits, announced, open, stage }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve<S: HttpService>(
        self: Arc<Self>,
        stream: TcpStream,
        entrance: Entrance,
        peer: SocketAddr,
        guard: Guard,
        make: impl FnOnce(Accepted) -> S,
    ) {
        if let Err(Early { closed, error }) =
            self.try_serve(stream, entrance, peer, guard, make).await
        {
            if let Some(closed) = closed {
                self.open.closed(closed);
            }
            tracing::debug!(%peer, %error, "a client's connection ended early");
        }
    }

    async fn try_serve<S: HttpService>(
        &self,
        mut stream: TcpStream,
        entrance: Entrance,
        peer: SocketAddr,
        guard: Guard,
        make: impl FnOnce(Accepted) -> S,
    ) -> Result<(), Early> {
        let until = Instant::now() + self.limits.head_timeout;
        let mut accepted = Accepted {
            peer,
            local: entrance.local,
            secure: false,
            #[cfg(feature = "tls")]
            session: None,
            interim: Interim::default(),
            guard,
        };
        let mut start = BytesMut::new();
        if self.announced.as_ref().is_some_and(|announced| announced(peer.ip())) {
            let header = announcement(&mut stream, &mut start);
            let header = self.in_time(until, header).await?;
            let header = header.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => Early::because(Closed::ProxyHeader, error),
                _ => Early::theirs(error),
            })?;
            accepted.secure = header.tls.is_some();
            if let Some(addresses) = header.addresses {
                (accepted.peer, accepted.local) = (addresses.source, addresses.destination);
            }
        }
        if !accepted.guard.is_of(accepted.peer.ip(), &self.limits) {
            entrance.turn_away(&stream);
            return Err(Early::because(Closed::TooManyOfClient, "one of too many"));
        }
        #[cfg(feature = "tls")]
        if let Some(Tls { acceptor, hosts }) = entrance.tls {
            let stream = Stream::new(start, stream, self.limits.send_timeout, Interim::default());
            let handshake = Box::pin(acceptor.accept(stream, |host| hosts(host)));
            let tls::Accepted { stream, session } = self.in_time(until, handshake).await??;
            accepted.secure = true;
            accepted.session = Some(session);
            return Box::pin(self.speak(stream, BytesMut::new(), until, accepted, make)).await;
        }
        self.speak(stream, start, until, accepted, make).await
    }

    /// Serves HTTP, of which `start` has been read already.
    async fn speak<I, S>(
        &self,
        mut stream: I,
        mut start: BytesMut,
        until: Instant,
        mut accepted: Accepted,
        make: impl FnOnce(Accepted) -> S,
    ) -> Result<(), Early>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: HttpService,
    {
        let version = self.in_time(until, Version::heard(&mut stream, &mut start)).await;
        let version = version.map_err(|early| early.after(&start))?;
        let Some(version) = version.map_err(Early::theirs)? else { return Ok(()) };
        if version == Version::Http1 {
            accepted.interim = Interim::new();
        }
        let interim = accepted.interim.clone();
        let service = make(accepted);
        let stream = Stream::new(start, stream, self.limits.send_timeout, interim);
        // In a box: who only connects need not have room for that.
        match version {
            Version::Http1 => Box::pin(self.http1(stream, service)).await,
            Version::Http2 => Box::pin(self.http2(stream, service)).await,
        }
    }

    /// What a connection begins with, unless that takes longer than `until`, or than a
    /// moment once it is time to close.
    async fn in_time<T>(&self, until: Instant, begin: impl Future<Output = T>) -> Result<T, Early> {
        let mut begin = pin!(begin);
        tokio::select! {
            biased;
            begun = begin.as_mut() => return Ok(begun),
            () = time::sleep_until(until) => {
                return Err(Early::because(Closed::Silent, "nothing came in time"));
            }
            () = reached(self.stage.clone(), Stage::Closing) => {}
        }
        time::timeout(LAST_MOMENT, begin).await.map_err(Early::theirs)
    }

    async fn http2<I, S>(&self, mut stream: Stream<I>, service: S) -> Result<(), Early>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: HttpService,
    {
        stream.is_http2();
        let streams = Streams::new(&self.limits);
        let service = TowerToHyperService::new(Limited::new(service, streams.clone()));
        let connection = streams.builder().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // Closed without a word: who is told to leave may take his time for that.
        let tiresome = || Early::because(Closed::Http2Flood, "too many requests are given up");
        tokio::select! {
            biased;
            served = connection.as_mut() => return Ok(served?),
            () = streams.are_given_up() => return Err(tiresome()),
            // It says which requests are the last ones, so none is lost.
            () = reached(self.stage.clone(), Stage::Leaving) => {}
            () = streams.are_enough() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            served = connection => Ok(served?),
            () = streams.are_given_up() => Err(tiresome()),
            () = streams.are_over() => Ok(()),
        }
    }
}

/// What hyper needs at the least.
const LEAST_BUFFER: usize = 8192;

/// What hyper has room for on the stack.
const DEFAULT_HEADERS: usize = 100;

/// Ends when it has come to this, or when nobody is left to say so.
pub(super) async fn reached(mut stage: watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|&stage| stage >= wanted).await;
}
