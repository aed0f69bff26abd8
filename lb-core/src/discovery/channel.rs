use std::{
    error, fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::mpsc;

use super::Change;
use crate::endpoint::{Endpoint, EndpointId};

/// A set that is changed by calls: for sources of your own, and for tests.
///
/// The channel is unbounded, because a change that is lost is worse than one
/// that waits; what it holds is bounded by how fast its driver reads.
pub fn channel<T>() -> (Sender<T>, Changes<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender(sender), Changes(receiver))
}

/// Changes the set read by the matching [`Changes`].
#[derive(Debug)]
pub struct Sender<T>(mpsc::UnboundedSender<Change<T>>);

impl<T> Sender<T> {
    /// Sends any change.
    pub fn send(&self, change: Change<T>) -> Result<(), Closed> {
        self.0.send(change).map_err(|_| Closed)
    }

    /// Adds or replaces one endpoint.
    pub fn upsert(&self, id: impl Into<EndpointId>, endpoint: Endpoint<T>) -> Result<(), Closed> {
        self.send(Change::Upsert(id.into(), endpoint))
    }

    /// Removes one endpoint.
    pub fn remove(&self, id: impl Into<EndpointId>) -> Result<(), Closed> {
        self.send(Change::Remove(id.into()))
    }

    /// Ends when nobody reads the changes any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The discovery end of a [`channel`].
#[derive(Debug)]
pub struct Changes<T>(mpsc::UnboundedReceiver<Change<T>>);

impl<T> Stream for Changes<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// The change came too late: its [`Changes`] had been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads this discovery channel any more")
    }
}

impl error::Error for Closed {}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn changes_arrive_in_order_and_end_with_the_last_sender() {
        let (sender, mut changes) = channel();
        sender.upsert("a", Endpoint::new(1)).unwrap();
        sender.remove("a").unwrap();
        drop(sender);
        assert_eq!(changes.next().await, Some(Change::Upsert("a".into(), Endpoint::new(1))));
        assert_eq!(changes.next().await, Some(Change::Remove("a".into())));
        assert_eq!(changes.next().await, None);
    }

    #[test]
    fn a_change_nobody_reads_is_an_error() {
        let (sender, changes) = channel::<()>();
        drop(changes);
        assert_eq!(sender.remove("a"), Err(Closed));
    }
}
