use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::body::{BoxError, RequestBody};
use crate::sync::lock;

/// The body of a request, recorded while it is sent so that it can be sent again.
///
/// What is beyond the limit is passed on and not kept; the recording is worthless
/// then. So is one whose tape is gone: nobody can ask for it any more.
pub(super) struct Tape(Arc<Mutex<Recording>>);

struct Recording {
    /// What has been read of `rest` so far, as a copy: a frame of a few bytes may
    /// hold on to a buffer of many.
    data: BytesMut,
    trailers: Option<HeaderMap>,
    limit: usize,
    rest: RequestBody,
    hint: SizeHint,
    ended: bool,
    whole: bool,
    /// Who may read. An attempt that was given up may still hold its reader.
    reader: u32,
}

impl Tape {
    pub(super) fn new(body: RequestBody, limit: usize) -> Self {
        let hint = body.size_hint();
        Self(Arc::new(Mutex::new(Recording {
            data: BytesMut::new(),
            trailers: None,
            limit,
            rest: body,
            hint,
            ended: false,
            whole: true,
            reader: 0,
        })))
    }

    /// Whether all that was read has been kept.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).whole
    }

    /// The body from its beginning, or `None` if that was not kept. Whoever read
    /// it before can read no more of it.
    pub(super) fn replay(&self) -> Option<Replay> {
        let mut recording = lock(&self.0);
        recording.reader += 1;
        let reader = recording.reader;
        let replay = Replay { recording: Arc::clone(&self.0), reader, at: 0, has_trailers: false };
        recording.whole.then_some(replay)
    }
}

/// One reading of a [`Tape`].
pub(super) struct Replay {
    recording: Arc<Mutex<Recording>>,
    reader: u32,
    /// Bytes that were read.
    at: usize,
    has_trailers: bool,
}

impl Body for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { recording, reader, at, has_trailers } = &mut *self;
        let is_wanted = Arc::strong_count(recording) > 1;
        let mut recording = lock(recording);
        if recording.reader != *reader {
            return Poll::Ready(Some(Err("this attempt was given up".into())));
        }
        if *at < recording.data.len() {
            let kept = Bytes::copy_from_slice(&recording.data[*at..]);
            *at = recording.data.len();
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        if let Some(trailers) = recording.trailers.as_ref().filter(|_| !*has_trailers) {
            *has_trailers = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        if recording.ended {
            return Poll::Ready(None);
        }
        if !is_wanted {
            recording.forget();
            *at = 0;
        }
        let frame = ready!(Pin::new(&mut recording.rest).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            recording.keep(frame);
            *at = recording.data.len();
            *has_trailers = frame.is_trailers();
        } else {
            recording.ended = true;
            recording.whole &= frame.is_none();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let recording = lock(&self.recording);
        recording.whole
            && self.at == recording.data.len()
            && self.has_trailers == recording.trailers.is_some()
            && (recording.ended || recording.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // Asked before the first frame is read, for the framing of the message.
        lock(&self.recording).hint
    }
}

impl Recording {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if !self.whole || self.data.len() + length > self.limit {
            self.forget();
        } else if let Some(data) = frame.data_ref() {
            self.data.extend_from_slice(data);
        } else {
            self.trailers = frame.trailers_ref().cloned();
        }
    }

    fn forget(&mut self) {
        self.whole = false;
        self.data = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn tape(chunks: &[&'static str], limit: usize) -> Tape {
        let frames = chunks.iter().map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::from(*chunk))));
        let frames: Vec<_> = frames.collect();
        Tape::new(RequestBody::new(StreamBody::new(futures_util::stream::iter(frames))), limit)
    }

    async fn next(replay: &mut Replay) -> Option<Result<Bytes, String>> {
        let frame = replay.frame().await?;
        Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
    }

    async fn all(replay: Replay) -> Bytes {
        replay.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn what_was_read_is_read_again_and_then_the_rest() {
        let tape = tape(&["a", "b", "c"], 3);
        let mut first = tape.replay().unwrap();
        assert_eq!(next(&mut first).await, Some(Ok("a".into())));
        assert_eq!(next(&mut first).await, Some(Ok("b".into())));
        let second = tape.replay().unwrap();
        assert_eq!(next(&mut first).await, Some(Err("this attempt was given up".into())));
        assert_eq!(all(second).await, "abc");
        assert_eq!(all(tape.replay().unwrap()).await, "abc");
    }

    #[tokio::test]
    async fn trailers_are_read_again_too() {
        let trailers = HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())]);
        let frames = [Frame::data(Bytes::from("a")), Frame::trailers(trailers.clone())];
        let frames = frames.map(Ok::<_, BoxError>);
        let body = RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)));
        let tape = Tape::new(body, 9);
        for _ in 0..2 {
            let all = tape.replay().unwrap().collect().await.unwrap();
            assert_eq!(all.trailers(), Some(&trailers));
            assert_eq!(all.to_bytes(), "a");
        }
    }

    #[tokio::test]
    async fn beyond_the_limit_it_is_passed_on_and_not_kept() {
        let tape = tape(&["aa", "bb", "cc"], 3);
        assert_eq!(all(tape.replay().unwrap()).await, "aabbcc");
        assert!(tape.replay().is_none());
    }

    #[tokio::test]
    async fn once_nobody_can_ask_for_it_again_no_more_is_kept() {
        let tape = tape(&["a", "b", "c"], 9);
        let mut replay = tape.replay().unwrap();
        assert_eq!(next(&mut replay).await, Some(Ok("a".into())));
        drop(tape);
        assert_eq!(next(&mut replay).await, Some(Ok("b".into())));
        assert_eq!(lock(&replay.recording).data, "");
        assert_eq!(all(replay).await, "c");
    }

    #[tokio::test]
    async fn a_body_that_broke_off_is_not_sent_again() {
        let frames = [Ok(Frame::data(Bytes::from("a"))), Err::<_, BoxError>("gone".into())];
        let body = RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)));
        let tape = Tape::new(body, 9);
        let mut replay = tape.replay().unwrap();
        assert!(next(&mut replay).await.unwrap().is_ok());
        assert_eq!(next(&mut replay).await, Some(Err("gone".into())));
        assert!(tape.replay().is_none());
    }
}
