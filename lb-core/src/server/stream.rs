use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{interim::Interim, patience::Patience};

/// A client's connection: what has been read of it to see what it is comes first;
/// who doesn't take what is sent for too long is given up; and answers before the final
/// one are written when all else has been.
pub(super) struct Stream<S> {
    start: BytesMut,
    inner: S,
    patience: Patience,
    interim: Interim,
    /// What of these is being written.
    begun: BytesMut,
}

impl<S> Stream<S> {
    pub(super) fn new(start: BytesMut, inner: S, send_timeout: Duration, interim: Interim) -> Self {
        let patience = Patience::new(send_timeout);
        Self { start, inner, patience, interim, begun: BytesMut::new() }
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

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Ready when none is written in part.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.begun.is_empty() {
            let sent = Pin::new(&mut self.inner).poll_write(cx, &self.begun);
            let sent = ready!(self.sent(cx, sent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun.advance(sent);
            if self.begun.is_empty() {
                self.begun = BytesMut::new();
                self.interim.written();
            }
        }
        Poll::Ready(Ok(()))
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
        ready!(self.poll_begun(cx))?;
        let sent = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_begun(cx))?;
        let sent = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_begun(cx))?;
        while let Some(next) = self.interim.take() {
            self.begun = next;
            ready!(self.poll_begun(cx))?;
        }
        let sent = Pin::new(&mut self.inner).poll_flush(cx);
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_begun(cx))?;
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
        let mut stream =
            Stream::new(BytesMut::from(&b"hello"[..]), server, LIMIT, Interim::default());
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, rest.as_str()), (b"he", "llo world"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (mut client, server) = duplex(4);
        let mut stream = Stream::new(BytesMut::new(), server, LIMIT, Interim::default());
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

    /// A little of it at a time, and nothing in between.
    #[cfg(feature = "http")]
    #[tokio::test]
    async fn answers_before_the_final_one_are_written_once_all_else_has_been() {
        let (mut client, server) = duplex(4);
        let interim = Interim::new();
        let mut stream = Stream::new(BytesMut::new(), server, LIMIT, interim.clone());
        interim.begin(true);
        let informer = interim.informer().unwrap();
        informer.inform(http::StatusCode::PROCESSING, &http::HeaderMap::new());
        let waker = std::task::Waker::noop();
        assert!(!interim.end(waker), "the answer has to wait");
        informer.inform(http::StatusCode::PROCESSING, &http::HeaderMap::new());
        let sent = tokio::spawn(async move {
            stream.write_all(b"the end of another;").await.unwrap();
            stream.flush().await.unwrap();
            assert!(interim.end(waker));
            stream.write_all(b"the answer").await.unwrap();
        });
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        sent.await.unwrap();
        assert_eq!(all, "the end of another;HTTP/1.1 102 Processing\r\n\r\nthe answer");
    }
}
