use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;

use crate::{
    discovery::{self, Change, Changes, Sender},
    endpoint::{Endpoint, EndpointId},
};

/// A discovery that a test changes, and that says when a change has taken effect.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use lb_core::{Balance, Endpoint, balance::Algorithm, testing::{Scripted, source}};
/// use tower::ServiceExt;
///
/// let (changes, discovery) = source();
/// let connect = |_: &_, name: &&'static str| Scripted::new(*name);
/// let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
/// tokio::spawn(driver.run());
/// changes.upsert("1", Endpoint::new("a")).await;
/// assert_eq!(balance.clone().oneshot(()).await.unwrap(), "a");
/// changes.remove("1").await;
/// assert!(balance.cluster().unwrap().members().is_empty());
/// # }
/// ```
pub fn source<T>() -> (SourceHandle<T>, Source<T>) {
    let (sender, changes) = discovery::channel();
    let (idle, watched) = watch::channel(0);
    (
        SourceHandle { sender, sent: 0.into(), idle: watched },
        Source { changes, read: 0, fresh: false, idle },
    )
}

/// Changes the matching [`Source`]. Dropping it ends the source.
#[derive(Debug)]
pub struct SourceHandle<T> {
    sender: Sender<T>,
    sent: std::sync::atomic::AtomicU64,
    idle: watch::Receiver<u64>,
}

impl<T> SourceHandle<T> {
    /// Sends a change, and waits until it has been read and the reader has come
    /// back for the next one. Ends as well when the reader is gone.
    pub async fn send(&self, change: Change<T>) {
        let sent = 1 + self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.sender.send(change).is_ok() {
            // An error says that the reader is gone, and with it all effects.
            let _ = self.idle.clone().wait_for(|&read| read >= sent).await;
        }
    }

    /// Sends the whole set.
    pub async fn reset(&self, set: impl IntoIterator<Item = (EndpointId, Endpoint<T>)>) {
        self.send(Change::Reset(set.into_iter().collect())).await;
    }

    /// Adds or replaces one endpoint.
    pub async fn upsert(&self, id: impl Into<EndpointId>, endpoint: Endpoint<T>) {
        self.send(Change::Upsert(id.into(), endpoint)).await;
    }

    /// Removes one endpoint.
    pub async fn remove(&self, id: impl Into<EndpointId>) {
        self.send(Change::Remove(id.into())).await;
    }
}

/// The discovery made by [`source`].
#[derive(Debug)]
pub struct Source<T> {
    changes: Changes<T>,
    read: u64,
    /// Something has been read since the reader last had to wait.
    fresh: bool,
    idle: watch::Sender<u64>,
}

impl<T> Stream for Source<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change<T>>> {
        let polled = Pin::new(&mut self.changes).poll_next(cx);
        match &polled {
            Poll::Ready(Some(_)) => {
                self.read += 1;
                self.fresh = true;
            }
            // A driver publishes what it has read before it waits again: only
            // when it comes back with nothing read has it taken effect.
            Poll::Pending if self.fresh => {
                self.fresh = false;
                cx.waker().wake_by_ref();
            }
            Poll::Ready(None) | Poll::Pending => {
                self.idle.send_replace(self.read);
            }
        }
        polled
    }
}
