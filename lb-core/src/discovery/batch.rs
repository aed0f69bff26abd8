use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::{Change, Discovery};

/// Changes taken in one go at most, so that a source which never pauses can't
/// keep what it says from being seen.
const BATCH: usize = 1024;

/// Reads what is already there, as it belongs into the same set. Ready with true
/// at the end, after which not every stream bears being asked again.
pub(crate) fn poll_batch<D: Discovery>(
    mut discovery: Pin<&mut D>,
    batch: &mut Vec<Change<D::Target>>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    while batch.len() < BATCH {
        match discovery.as_mut().poll_next(cx) {
            Poll::Ready(Some(change)) => batch.push(change),
            Poll::Ready(None) => return Poll::Ready(true),
            Poll::Pending if batch.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(false)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, future::poll_fn, stream};

    use super::*;
    use crate::discovery::channel;

    #[test]
    fn takes_what_is_there_and_never_without_end() {
        let mut batch = Vec::<Change<u8>>::new();
        let mut endless = pin!(stream::repeat(Change::Remove("a".into())));
        let polled = poll_fn(|cx| poll_batch(endless.as_mut(), &mut batch, cx)).now_or_never();
        assert_eq!((polled, batch.len()), (Some(false), BATCH));

        let (sender, changes) = channel::<u8>();
        let mut changes = pin!(changes);
        let mut read = || {
            let mut batch = Vec::new();
            let polled = poll_fn(|cx| poll_batch(changes.as_mut(), &mut batch, cx)).now_or_never();
            (polled, batch.len())
        };
        assert_eq!(read(), (None, 0));
        sender.remove("a").unwrap();
        sender.remove("b").unwrap();
        assert_eq!(read(), (Some(false), 2));
        sender.remove("c").unwrap();
        drop(sender);
        assert_eq!(read(), (Some(true), 1));
    }
}
