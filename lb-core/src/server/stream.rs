use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::patience::Patience;

/// A client's connection: what has been read of it to see what it is comes first;
/// and who doesn't take what is sent for too long is given up.
pub(super) struct Stream<S> {
    start: BytesMut,
    inner: S,
    patience: Patience,
}

impl<S> Stream<S> {
    pub(super) fn new(start: BytesMut, inner: S, send_timeout: Duration) -> Self {
        Self { start, inner, patience: Patience::new(send_timeout) }
    }

    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.patience.renew();
            return sent;
        }
        ready!(self.patience.poll_end(cx));
        let why = format!("the client has taken nothing for {:?}", self.patience.limit);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.start.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.start.len().min(buf.remaining());
        buf.put_slice(&self.start[..length]);
        self.start.advance(length);
        if self.start.is_empty() {
            // Idle connections are many, and need no buffer.
            self.start = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_flush(cx);
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.sent(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{self, Instant},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_has_been_read_comes_first() {
        let (mut client, server) = duplex(64);
        client.write_all(b" world").await.unwrap();
        drop(client);
        let mut stream = Stream::new(BytesMut::from(&b"hello"[..]), server, LIMIT);
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_str()), (b"he", "llo world"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (mut client, server) = duplex(4);
        let mut stream = Stream::new(BytesMut::new(), server, LIMIT);
        let began = Instant::now();
        let sent = tokio::spawn(async move { (stream.write_all(b"123456789abc").await, stream) });
        // Taking a little each time is enough.
        for _ in 0..2 {
            time::sleep(LIMIT - Duration::from_secs(1)).await;
            client.read_exact(&mut [0; 4]).await.unwrap();
        }
        let (sent, mut stream) = sent.await.unwrap();
        sent.unwrap();
        let error = stream.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert_eq!(began.elapsed(), 2 * (LIMIT - Duration::from_secs(1)) + LIMIT);
    }
}
