//! Connections to endpoints, before HTTP is spoken there.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time,
};
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

use super::Options;
use crate::{health, registry::Transport};

/// A connection on which HTTP can be spoken.
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
}

/// When silent connections are asked whether anybody is there, and given up.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(KEEPALIVE_INTERVAL)
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// Opens a connection, within the limits of `options`.
pub(super) async fn dial(
    address: SocketAddr,
    transport: &Transport,
    options: &Options,
) -> io::Result<Stream> {
    let limit = options.connect_timeout;
    let stream = time::timeout(limit, TcpStream::connect(address)).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"))
    })??;
    stream.set_nodelay(true)?;
    // An endpoint whose network is gone says nothing, ever; a tunnel to it
    // would stay.
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    if transport.protocol.is_tls() {
        return secure(stream, address, transport, options).await;
    }
    Ok(Stream::Plain(stream))
}

/// Whether an endpoint lets a connection be made, which is closed at once: no request
/// is sent.
pub(super) async fn probe(
    address: SocketAddr,
    transport: &Transport,
    options: &Options,
) -> io::Result<()> {
    if !transport.protocol.is_tls() {
        return health::accepts(address, options.connect_timeout).await;
    }
    let mut stream = dial(address, transport, options).await?;
    // Else it would look as if somebody had cut the connection. Whether that gets there
    // is not what was asked.
    let _ = stream.shutdown().await;
    Ok(())
}

#[cfg(feature = "tls")]
async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    transport: &Transport,
    options: &Options,
) -> io::Result<Stream> {
    let tls = options.upstream_tls.as_ref().ok_or_else(|| {
        let missing = "TLS is not spoken to endpoints here: set Options::upstream_tls";
        io::Error::new(io::ErrorKind::Unsupported, missing)
    })?;
    // Apart, lest every request makes room for it that needs none.
    let stream = Box::pin(tls.handshake(stream, address, transport)).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

#[cfg(not(feature = "tls"))]
#[allow(clippy::unused_async, reason = "as it is with TLS")]
async fn secure(_: TcpStream, _: SocketAddr, _: &Transport, _: &Options) -> io::Result<Stream> {
    let missing = "TLS is not spoken to endpoints here: lb-core is built without the feature tls";
    Err(io::Error::new(io::ErrorKind::Unsupported, missing))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
