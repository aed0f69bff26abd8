use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;

use super::{Change, Discovery, Set, driven::Driven, poll_batch};
use crate::endpoint::{Endpoint, EndpointId};

/// The set in a tokio watch, as a discovery: a [`Change::Reset`] of what it
/// holds now, and of every value it is given later.
///
/// The value is a `Vec` of pairs, a map or a [`Set`]. Of two with the same
/// identity, the later one stands. It ends when the watch's sender is dropped,
/// after its last value. Values that follow each other faster than they are
/// read are skipped but for the last, as in any watch.
///
/// ```
/// use lb_core::{discovery, endpoint::{Endpoint, EndpointId}};
/// use tokio::sync::watch;
///
/// let first = vec![(EndpointId::from("a"), Endpoint::new("10.0.0.1:80"))];
/// let (sender, receiver) = watch::channel(first);
/// let discovery = discovery::from_watch(receiver);
/// # let _ = (sender, discovery);
/// ```
pub fn from_watch<V, T>(mut receiver: watch::Receiver<V>) -> FromWatch<T>
where
    V: IntoIterator<Item = (EndpointId, Endpoint<T>)> + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    FromWatch(Driven::new(|changes| async move {
        loop {
            let value = receiver.borrow_and_update().clone();
            let set: Set<T> = value.into_iter().collect();
            let reset = Change::Reset(set.into_iter().collect());
            if changes.send(reset).is_err() || receiver.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// The discovery returned by [`from_watch`].
#[derive(Debug)]
#[must_use = "a discovery does nothing unless it is read"]
pub struct FromWatch<T>(Driven<T>);

impl<T> Stream for FromWatch<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

/// What `discovery` adds up to, in a tokio watch, and the future that keeps it
/// up to date: spawn it, or poll it beside other work.
///
/// Until the discovery speaks, the set is empty and unchanged. The future ends
/// when the discovery does, and then the last set stays readable; or when every
/// receiver is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lb_core::discovery;
///
/// let (mut set, driver) = discovery::to_watch(discovery::fixed(["10.0.0.1:80"]));
/// tokio::spawn(driver);
/// set.changed().await?;
/// assert_eq!(set.borrow().len(), 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "the watch does not change unless its future is polled"]
pub fn to_watch<D>(
    discovery: D,
) -> (watch::Receiver<Set<D::Target>>, impl Future<Output = ()> + Send)
where
    D: Discovery,
    D::Target: Send + Sync,
{
    let (sender, receiver) = watch::channel(Set::new());
    let driver = async move {
        let mut discovery = pin!(discovery);
        loop {
            let mut batch = Vec::new();
            let ended = tokio::select! {
                biased;
                () = sender.closed() => return,
                ended = poll_fn(|cx| poll_batch(discovery.as_mut(), &mut batch, cx)) => ended,
            };
            if !batch.is_empty() {
                sender.send_modify(|set| batch.into_iter().for_each(|change| set.apply(change)));
            }
            if ended {
                return;
            }
        }
    };
    (receiver, driver)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::discovery::channel;

    fn pair(id: &str, target: u8) -> (EndpointId, Endpoint<u8>) {
        (id.into(), Endpoint::new(target))
    }

    #[tokio::test]
    async fn a_watch_says_what_it_holds_then_what_it_is_given() {
        let (sender, receiver) = watch::channel(vec![pair("a", 1)]);
        let mut discovery = from_watch(receiver);
        assert_eq!(discovery.next().await, Some(Change::Reset(vec![pair("a", 1)])));
        assert_eq!(discovery.next().now_or_never(), None);
        sender.send(vec![pair("b", 2), pair("b", 3)]).unwrap();
        assert_eq!(discovery.next().await, Some(Change::Reset(vec![pair("b", 3)])));
        sender.send(vec![]).unwrap();
        drop(sender);
        assert_eq!(discovery.next().await, Some(Change::Reset(vec![])), "the last value counts");
        assert_eq!(discovery.next().await, None);
    }

    #[tokio::test]
    async fn a_watch_may_hold_a_map() {
        let (_sender, receiver) = watch::channel(HashMap::from([pair("a", 1)]));
        assert_eq!(from_watch(receiver).next().await, Some(Change::Reset(vec![pair("a", 1)])));
    }

    #[tokio::test]
    async fn changes_add_up_in_the_watch() {
        let (sender, changes) = channel();
        let (mut set, driver) = to_watch(changes);
        let driver = tokio::spawn(driver);
        assert!(set.borrow().is_empty());
        sender.send(Change::Reset(vec![pair("a", 1), pair("b", 2)])).unwrap();
        sender.remove("a").unwrap();
        set.wait_for(|set| set.len() == 1).await.unwrap();
        drop(sender);
        driver.await.unwrap();
        assert!(set.changed().await.is_err(), "it has ended");
        assert_eq!(*set.borrow(), [pair("b", 2)].into_iter().collect());
    }

    #[tokio::test]
    async fn an_empty_set_is_a_word_too() {
        let (set, driver) = to_watch(from_watch(watch::channel(Vec::<(_, Endpoint<u8>)>::new()).1));
        driver.await;
        assert!(set.has_changed().is_err(), "it has ended");
        assert!(set.borrow().is_empty());
    }

    #[tokio::test]
    async fn nobody_who_looks_ends_the_work() {
        let (_sender, changes) = channel::<u8>();
        let (set, driver) = to_watch(changes);
        drop(set);
        driver.await;
    }
}
