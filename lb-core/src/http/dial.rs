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

use super::{Options, client::Client};
use crate::registry::{ProxyProtocol, Transport};
#[cfg(feature = "server")]
use crate::server::proxy_protocol::{Addresses, write_v1, write_v2};

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

/// Opens a connection, within the limits of `options`, that is for a client, or for the
/// proxy itself, where the transport tells.
pub(super) async fn dial(
    address: SocketAddr,
    transport: &Transport,
    client: Option<&Client>,
    options: &Options,
) -> io::Result<Stream> {
    let limit = options.connect_timeout;
    let mut stream = time::timeout(limit, TcpStream::connect(address)).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"))
    })??;
    stream.set_nodelay(true)?;
    // An endpoint whose network is gone says nothing, ever; a tunnel to it
    // would stay.
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    if let Some(version) = transport.proxy_protocol {
        stream.write_all(&header(version, client)?).await?;
    }
    if transport.protocol.is_tls() {
        return secure(stream, address, transport, options).await;
    }
    Ok(Stream::Plain(stream))
}

/// The PROXY header of a connection; without a client the proxy speaks for itself.
#[cfg(feature = "server")]
fn header(version: ProxyProtocol, client: Option<&Client>) -> io::Result<Vec<u8>> {
    let ends = client.and_then(Client::ends);
    let addresses = ends.map(|(source, destination)| Addresses { source, destination });
    Ok(match version {
        ProxyProtocol::V1 => write_v1(addresses),
        ProxyProtocol::V2 => write_v2(addresses),
    })
}

#[cfg(not(feature = "server"))]
fn header(_: ProxyProtocol, _: Option<&Client>) -> io::Result<Vec<u8>> {
    let missing = "PROXY headers are not sent: lb-core is built without the feature server";
    Err(io::Error::new(io::ErrorKind::Unsupported, missing))
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
