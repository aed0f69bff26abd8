//! Bodies of any length from a little memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

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
        Fill { block: self.block.clone(), left: if self.len == 0 { 0 } else { size } }
    }
}

/// A body of known length, made of slices of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fill {
    block: Bytes,
    left: u64,
}

impl From<Bytes> for Fill {
    /// A body of these bytes, once.
    fn from(block: Bytes) -> Self {
        let left = block.len() as u64;
        Self { block, left }
    }
}

impl Body for Fill {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let len =
            usize::try_from(self.left).map_or(self.block.len(), |left| left.min(self.block.len()));
        self.left -= len as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
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
    async fn nothing_repeated_is_nothing() {
        assert_eq!(read(Text::repeatable("").sized(5)).await, "");
    }
}
