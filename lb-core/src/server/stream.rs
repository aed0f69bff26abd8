use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{frames::Frames, waits::Waits};
use crate::{interim::Interim, patience::Patience};

/// A client's connection: what has been read of it to see what it is comes first;
/// who sends without a pause takes turns with the others, and who floods us with frames
/// is given up, if it is HTTP/2; who doesn't take what is sent for too long is given up;
/// and answers before the final one are written when all else has been.
pub(super) struct Stream<S> {
    start: BytesMut,
    inner: S,
    /// How much has been read since there was last nothing to read.
    turn: usize,
    /// What is read along, in HTTP/2.
    frames: Option<Box<Frames>>,
    patience: Patience,
    /// Something had to wait for the client, and has not been flushed since.
    has_waited: bool,
    waits: Arc<Waits>,
    interim: Interim,
    /// What of these is being written.
    begun: BytesMut,
}

/// How much is read before it is somebody else's turn: what fits in here of the
/// smallest frames of HTTP/2 takes well under a millisecond.
const TURN: usize = 32 << 10;

impl<S> Stream<S> {
    pub(super) fn new(start: BytesMut, inner: S, send_timeout: Duration, interim: Interim) -> Self {
        Self {
            start,
            inner,
            turn: 0,
            frames: None,
            patience: Patience::new(send_timeout),
            has_waited: false,
            waits: Arc::new(Waits::new()),
            interim,
            begun: BytesMut::new(),
        }
    }

    /// It is HTTP/2: says that there is nothing to read now and then, whether there is or
    /// not, and reads along. hyper stops by itself in HTTP/1, and may there take a request
    /// for one that hasn't come.
    pub(super) fn is_http2(&mut self) {
        self.frames = Some(Box::new(Frames::new()));
    }

    fn read_along(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.frames {
            Some(frames) => frames.read(bytes).map_err(io::Error::from),
            None => Ok(()),
        }
    }

    /// Whether it waits for a request.
    pub(super) fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    /// The way of answers before the final one.
    pub(super) fn interim(&self) -> &Interim {
        &self.interim
    }

    /// What has been read is read once more; there must be nothing else of the kind.
    pub(super) fn unread(&mut self, start: BytesMut) {
        self.start = start;
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        if self.turn >= TURN && self.frames.is_some() {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        match buf.filled().len() - before {
            0 => self.turn = 0,
            some => {
                self.turn += some;
                self.waits.read();
                self.read_along(&buf.filled()[before..])?;
            }
        }
        read
    }

    /// What has been written earns the client frames.
    fn earned(&mut self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, &sent) {
            frames.sent(*bytes);
        }
        sent
    }

    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.patience.renew();
            return sent;
        }
        self.has_waited = true;
        ready!(self.patience.poll_end(cx));
        let why = format!("the client has taken nothing for {:?}", self.patience.limit);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Ready when none is written in part.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.begun.is_empty() {
            self.waits.sending(true);
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
            return self.poll_inner(cx, buf);
        }
        self.waits.read();
        let length = self.start.len().min(buf.remaining());
        buf.put_slice(&self.start[..length]);
        let from = buf.filled().len() - length;
        self.read_along(&buf.filled()[from..])?;
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
        self.waits.sending(true);
        let sent = Pin::new(&mut self.inner).poll_write(cx, buf);
        let sent = self.earned(sent);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_begun(cx))?;
        self.waits.sending(true);
        let sent = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        let sent = self.earned(sent);
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
        if sent.is_ready() {
            self.waits.sending(false);
            if std::mem::take(&mut self.has_waited) {
                // In HTTP/1, hyper may have begun with the next request by now, which it
                // doesn't answer before this, and looks for no answer after this.
                cx.waker().wake_by_ref();
            }
        }
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_begun(cx))?;
        self.waits.sending(true);
        let sent = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.sent(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::poll;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
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

    /// Reads whatever there is, as hyper does.
    struct Greedy(Stream<DuplexStream>, usize);

    impl Future for Greedy {
        type Output = usize;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
            let mut space = [0; 4096];
            loop {
                let mut some = ReadBuf::new(&mut space);
                let Self(stream, read) = &mut *self;
                ready!(Pin::new(stream).poll_read(cx, &mut some)).unwrap();
                if some.filled().is_empty() {
                    return Poll::Ready(*read);
                }
                *read += some.filled().len();
            }
        }
    }

    #[tokio::test]
    async fn who_sends_without_a_pause_takes_turns() {
        let (mut client, server) = duplex(4 * TURN);
        client.write_all(&[0xff; 4 * TURN]).await.unwrap();
        drop(client);
        let mut stream = Stream::new(BytesMut::new(), server, LIMIT, Interim::default());
        stream.is_http2();
        let mut greedy = Greedy(stream, 0);
        for turn in 1..=4 {
            let polled = poll!(&mut greedy);
            assert_eq!((polled, greedy.1), (Poll::Pending, turn * TURN));
        }
        // It has been woken for each of them.
        assert_eq!(greedy.await, 4 * TURN);
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
