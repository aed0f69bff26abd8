use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{Change, Changes, Sender, channel};

/// A source written as an async function that sends changes.
///
/// It runs while it is read and in no task of its own: it needs no runtime to be
/// made, and nothing of it is left when it is dropped.
pub(super) struct Driven<T> {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    changes: Changes<T>,
}

impl<T> Driven<T> {
    /// Ends when `work` does, after what it has sent.
    pub(super) fn new<F>(work: impl FnOnce(Sender<T>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, changes) = channel();
        Self { work: Some(Box::pin(work(sender))), changes }
    }
}

impl<T> Stream for Driven<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // What was sent goes first, so that the work never runs ahead.
        if let Poll::Ready(Some(change)) = Pin::new(&mut this.changes).poll_next(cx) {
            return Poll::Ready(Some(change));
        }
        if let Some(work) = &mut this.work
            && work.as_mut().poll(cx).is_ready()
        {
            this.work = None;
        }
        Pin::new(&mut this.changes).poll_next(cx)
    }
}

impl<T> fmt::Debug for Driven<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").field("ended", &self.work.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use futures_util::{FutureExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn says_what_its_work_sends_and_ends_with_it() {
        let mut driven = Driven::<u8>::new(|changes| async move {
            changes.remove("a").unwrap();
            tokio::task::yield_now().await;
            changes.remove("b").unwrap();
            changes.remove("c").unwrap();
        });
        for id in ["a", "b", "c"] {
            assert_eq!(driven.next().await, Some(Change::Remove(id.into())));
        }
        assert_eq!(driven.next().await, None);
        assert_eq!(driven.next().await, None, "asked again, it says the same");
    }

    #[tokio::test]
    async fn does_nothing_before_it_is_read_nor_after_it_is_dropped() {
        let (alive, ran) = (Arc::new(()), Arc::new(AtomicBool::new(false)));
        let work = (Arc::clone(&alive), Arc::clone(&ran));
        let mut driven = Driven::<u8>::new(|changes| async move {
            work.1.store(true, Ordering::Relaxed);
            changes.closed().await;
            drop(work.0);
        });
        assert!(!ran.load(Ordering::Relaxed));
        assert_eq!(driven.next().now_or_never(), None);
        assert!(ran.load(Ordering::Relaxed));
        drop(driven);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
