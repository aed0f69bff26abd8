//! What a client's connection begins with, before it is hyper's: a PROXY header, and
//! the bytes that tell which version of HTTP is spoken.

use std::{
    future, io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    proxy_protocol::{self, Header, Parsed},
    service::BoxError,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// How every connection of HTTP/2 begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than most requests.
const READ: usize = 2048;

impl Version {
    /// The version that is spoken; none if the client leaves before that is known.
    ///
    /// What has been read is in `start`. A connection that hyper has read nothing from
    /// is closed when it is told to shut down, though its request may have arrived: so
    /// it is handed over with the request.
    pub(super) async fn heard<I: AsyncRead + Unpin>(
        stream: &mut I,
        start: &mut BytesMut,
    ) -> io::Result<Option<Self>> {
        loop {
            if let (false, Some(version)) = (start.is_empty(), Self::of(start)) {
                return Ok(Some(version));
            }
            if !read(stream, start).await? {
                return Ok(None);
            }
        }
    }

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

/// The PROXY header. What has come behind it is in `start`.
pub(super) async fn announcement<I: AsyncRead + Unpin>(
    stream: &mut I,
    start: &mut BytesMut,
) -> io::Result<Header> {
    loop {
        if !read(stream, start).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxy_protocol::parse(start).map_err(invalid)? {
            Parsed::Incomplete { .. } => {}
            Parsed::Absent => return Err(invalid("there is no PROXY header")),
            Parsed::Header(header) => {
                start.advance(header.length);
                return Ok(header);
            }
        }
    }
}

fn invalid(error: impl Into<BoxError>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads more, unless it is the end. Who is waited for takes up no buffer.
pub(super) async fn read<I: AsyncRead + Unpin>(
    stream: &mut I,
    start: &mut BytesMut,
) -> io::Result<bool> {
    future::poll_fn(|cx| {
        let mut bytes = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        start.extend_from_slice(read.filled());
        Poll::Ready(Ok(!read.filled().is_empty()))
    })
    .await
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
