use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::Change;
use crate::endpoint::{Endpoint, EndpointId};

/// A set that never changes. Each target's text is its identity; where two read
/// the same, the later one stands.
///
/// ```
/// use lb_core::discovery;
/// let two = discovery::fixed(["10.0.0.1:80", "10.0.0.2:80"]);
/// ```
pub fn fixed<T: ToString>(targets: impl IntoIterator<Item = T>) -> Fixed<T> {
    targets
        .into_iter()
        .map(|target| (EndpointId::from(target.to_string()), Endpoint::new(target)))
        .collect()
}

/// The discovery returned by [`fixed`]; collect `(EndpointId, Endpoint<T>)`
/// pairs into one to choose identities and weights.
#[derive(Debug)]
pub struct Fixed<T> {
    set: Option<Vec<(EndpointId, Endpoint<T>)>>,
}

impl<T> FromIterator<(EndpointId, Endpoint<T>)> for Fixed<T> {
    fn from_iter<I: IntoIterator<Item = (EndpointId, Endpoint<T>)>>(iter: I) -> Self {
        let mut set: Vec<(EndpointId, Endpoint<T>)> = Vec::new();
        let mut seen = HashMap::new();
        for (id, endpoint) in iter {
            match seen.get(&id) {
                Some(&at) => set[at] = (id, endpoint),
                None => {
                    seen.insert(id.clone(), set.len());
                    set.push((id, endpoint));
                }
            }
        }
        Self { set: Some(set) }
    }
}

impl<T> Unpin for Fixed<T> {}

impl<T> Stream for Fixed<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.set.take().map(Change::Reset))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn says_its_set_once_and_ends() {
        let mut discovery = fixed(["a", "b"]);
        let Some(Change::Reset(set)) = discovery.next().await else { panic!("no reset") };
        assert_eq!(set.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(discovery.next().await, None);
    }

    #[tokio::test]
    async fn the_later_of_two_that_read_the_same_stands() {
        let id = || EndpointId::from("x");
        let mut discovery: Fixed<u8> =
            [(id(), Endpoint::new(1)), (id(), Endpoint::new(2))].into_iter().collect();
        assert_eq!(discovery.next().await, Some(Change::Reset(vec![(id(), Endpoint::new(2))])));
    }
}
