//! Bodies of any length from a little memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// A text that bodies are made of, repeated as often as their length needs.
///
/// The repetitions are laid out once, in one block, and bodies hand out slices
/// of it: no answer copies text, and a body of a gigabyte costs no memory.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// The text, whole times.
    block: Bytes,
    /// Length of the text.
    len: usize,
}

impl Text {
    /// Bytes in a block: enough that a large body is a few large writes.
    const BLOCK: usize = 32 * 1024;

    /// A text whose bodies may be longer than itself. An empty text has empty
    /// bodies only.
    pub(crate) fn repeatable(text: &str) -> Self {
        let times = Self::BLOCK.checked_div(text.len()).unwrap_or(0).max(1);
        Self { block: text.repeat(times).into(), len: text.len() }
    }

    /// A body with the text once.
    pub(crate) fn once(&self) -> Fill {
        Fill::from(self.block.slice(..self.len))
    }

    /// A body of exactly `size` bytes.
    pub(crate) fn sized(&self, size: u64) -> Fill {
        let left = if self.len == 0 { 0 } else { size };
        Fill { block: self.block.clone(), left, ..Fill::default() }
    }
}

/// A body made of slices of one block.
#[derive(Debug, Default)]
pub(crate) struct Fill {
    block: Bytes,
    left: u64,
    /// How much is left when it breaks off.
    breaks: Option<u64>,
    /// Its length isn't told.
    unknown: bool,
    pace: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Fill {
    /// Waits this long before each block.
    pub(crate) fn paced(mut self, pace: Duration) -> Self {
        self.pace = Some((pace, Box::pin(sleep(pace))));
        self
    }

    /// Doesn't tell its length.
    pub(crate) fn chunked(mut self) -> Self {
        self.unknown = true;
        self
    }

    /// Breaks off half-way. A body of one byte has no half, and comes whole.
    pub(crate) fn truncated(self) -> Self {
        // A pause, so that what comes before the break is sent and not dropped
        // with it.
        let breaks = Some(self.left / 2);
        let paced = if self.pace.is_some() { self } else { self.paced(Duration::from_millis(1)) };
        Self { breaks, ..paced }
    }
}

impl From<Bytes> for Fill {
    /// A body of these bytes, once.
    fn from(block: Bytes) -> Self {
        let left = block.len() as u64;
        Self { block, left, ..Self::default() }
    }
}

impl Body for Fill {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some((pace, sleep)) = &mut self.pace {
            ready!(sleep.as_mut().poll(context));
            sleep.as_mut().reset(Instant::now() + *pace);
        }
        let until_break = self.left - self.breaks.unwrap_or_default();
        if until_break == 0 {
            return Poll::Ready(Some(Err(io::Error::other("told to break off"))));
        }
        let len = usize::try_from(until_break)
            .map_or(self.block.len(), |left| left.min(self.block.len()));
        self.left -= len as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.unknown { SizeHint::new() } else { SizeHint::with_exact(self.left) }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(body: Fill) -> String {
        assert_eq!(body.is_end_stream(), body.size_hint().exact() == Some(0));
        let bytes = body.collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn repeats_or_cuts_to_the_size() {
        let text = Text::repeatable("abc");
        assert_eq!(read(text.once()).await, "abc");
        assert_eq!(read(text.sized(0)).await, "");
        assert_eq!(read(text.sized(2)).await, "ab");
        assert_eq!(read(text.sized(8)).await, "abcabcab");
    }

    #[tokio::test]
    async fn repeats_without_a_seam_between_blocks() {
        let size = 3 * Text::BLOCK + 1;
        let body = read(Text::repeatable("abc").sized(size as u64)).await;
        assert_eq!(body.len(), size);
        assert!(body.bytes().zip("abc".bytes().cycle()).all(|(got, want)| got == want));
    }

    #[tokio::test]
    async fn texts_may_be_longer_than_a_block() {
        let long = "x".repeat(Text::BLOCK + 1);
        assert_eq!(read(Text::repeatable(&long).once()).await, long);
    }

    #[tokio::test]
    async fn breaks_off_half_way() {
        let mut body = Text::repeatable("abc").sized(9).chunked().truncated();
        assert_eq!(body.size_hint().exact(), None);
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "abcab");
        body.frame().await.unwrap().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn is_as_slow_as_its_pace() {
        let pace = Duration::from_secs(1);
        let size = 2 * Text::BLOCK as u64;
        let since = Instant::now();
        let body = read(Text::repeatable("abc").sized(size).paced(pace)).await;
        assert_eq!(body.len() as u64, size);
        // The block is whole times the text, so that three make up the body.
        assert!(since.elapsed() >= pace * 3);
    }

    #[tokio::test]
    async fn nothing_repeated_is_nothing() {
        assert_eq!(read(Text::repeatable("").sized(5)).await, "");
    }
}
