use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tower::discover;

use super::{Change, Discovery};
use crate::endpoint::{Endpoint, EndpointId};

/// A discovery as tower's [`Discover`](discover::Discover), for tower's balancers and for what else
/// is built on them. Its keys are [`EndpointId`]s, and it never fails.
///
/// `connect` makes the service for one endpoint; it is called again only when
/// the endpoint's target has changed. tower knows neither weights nor states: an
/// endpoint that is not active or has the weight 0 is removed, all others count
/// the same. It ends when the discovery does; what it said stays in force.
///
/// ```
/// use lb_core::discovery;
/// use tower::{balance::p2c::Balance, load::Constant, service_fn};
///
/// let found = discovery::fixed(["10.0.0.1:80", "10.0.0.2:80"]);
/// let discover = discovery::to_tower(found, |_id, address: &&str| {
///     let address = *address;
///     let service = service_fn(move |_: ()| async move { Ok::<_, std::io::Error>(address) });
///     Constant::new(service, 0)
/// });
/// let balance = Balance::new(discover);
/// # let _: Balance<_, ()> = balance;
/// ```
pub fn to_tower<D, F, S>(discovery: D, connect: F) -> ToTower<D, F, S>
where
    D: Discovery,
    D::Target: PartialEq,
    F: FnMut(&EndpointId, &D::Target) -> S,
{
    ToTower { discovery, connect, inserted: BTreeMap::new(), changes: VecDeque::new() }
}

pin_project! {
    /// The [`Discover`](discover::Discover) returned by [`to_tower`].
    #[must_use = "a discovery does nothing unless it is read"]
    pub struct ToTower<D: Discovery, F, S> {
        #[pin]
        discovery: D,
        connect: F,
        inserted: BTreeMap<EndpointId, D::Target>,
        changes: VecDeque<discover::Change<EndpointId, S>>,
    }
}

impl<D, F, S> Stream for ToTower<D, F, S>
where
    D: Discovery,
    D::Target: PartialEq,
    F: FnMut(&EndpointId, &D::Target) -> S,
{
    type Item = Result<discover::Change<EndpointId, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let this = self.as_mut().project();
            if let Some(change) = this.changes.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            match ready!(this.discovery.poll_next(cx)) {
                Some(change) => self.as_mut().apply(change),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<D, F, S> ToTower<D, F, S>
where
    D: Discovery,
    D::Target: PartialEq,
    F: FnMut(&EndpointId, &D::Target) -> S,
{
    fn apply(mut self: Pin<&mut Self>, change: Change<D::Target>) {
        match change {
            Change::Upsert(id, endpoint) => self.upsert(id, endpoint),
            Change::Remove(id) => self.remove(id),
            Change::Reset(set) => {
                let named: BTreeSet<_> = set.iter().map(|(id, _)| id.clone()).collect();
                for (id, endpoint) in set {
                    self.as_mut().upsert(id, endpoint);
                }
                // Last, so that the set is at no moment smaller than it should be.
                let inserted = self.as_mut().project().inserted.keys();
                let gone: Vec<_> = inserted.filter(|id| !named.contains(*id)).cloned().collect();
                gone.into_iter().for_each(|id| self.as_mut().remove(id));
            }
        }
    }

    fn upsert(self: Pin<&mut Self>, id: EndpointId, endpoint: Endpoint<D::Target>) {
        if !endpoint.is_wanted() {
            return self.remove(id);
        }
        let this = self.project();
        if this.inserted.get(&id) != Some(&endpoint.target) {
            let service = (this.connect)(&id, &endpoint.target);
            this.changes.push_back(discover::Change::Insert(id.clone(), service));
            this.inserted.insert(id, endpoint.target);
        }
    }

    fn remove(self: Pin<&mut Self>, id: EndpointId) {
        let this = self.project();
        if this.inserted.remove(&id).is_some() {
            this.changes.push_back(discover::Change::Remove(id));
        }
    }
}

impl<D: Discovery, F, S> fmt::Debug for ToTower<D, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToTower").field("endpoints", &self.inserted.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use tower::{Service, ServiceExt, balance::p2c, load::Constant, service_fn};

    use super::*;
    use crate::{discovery::fixed, endpoint::State};

    /// The services are numbered in the order in which they are made.
    async fn said(changes: Vec<Change<u8>>) -> Vec<String> {
        let mut made = 0;
        let discover = to_tower(stream::iter(changes), |_, target| {
            made += 1;
            format!("{target}#{made}")
        });
        let text = |Ok(change): Result<_, Infallible>| match change {
            discover::Change::Insert(id, service) => format!("+{id}={service}"),
            discover::Change::Remove(id) => format!("-{id}"),
        };
        discover.map(text).collect().await
    }

    fn pair(id: &str, target: u8) -> (EndpointId, Endpoint<u8>) {
        (id.into(), Endpoint::new(target))
    }

    #[tokio::test]
    async fn a_service_is_made_again_only_for_another_target() {
        let upsert = |endpoint| Change::Upsert("a".into(), endpoint);
        let changes = vec![
            upsert(Endpoint::new(1)),
            upsert(Endpoint::new(1).weight(5)),
            upsert(Endpoint::new(2)),
            Change::Remove("b".into()),
            Change::Remove("a".into()),
        ];
        assert_eq!(said(changes).await, ["+a=1#1", "+a=2#2", "-a"]);
    }

    #[tokio::test]
    async fn a_reset_adds_first_and_then_removes_what_it_does_not_name() {
        let changes = vec![
            Change::Reset(vec![pair("a", 1), pair("b", 2)]),
            Change::Reset(vec![pair("b", 2), pair("c", 3)]),
            Change::Reset(vec![]),
        ];
        assert_eq!(said(changes).await, ["+a=1#1", "+b=2#2", "+c=3#3", "-a", "-b", "-c"]);
    }

    #[tokio::test]
    async fn what_should_get_no_requests_is_removed() {
        for idle in [
            Endpoint::new(1).weight(0),
            Endpoint::new(1).state(State::Draining),
            Endpoint::new(1).state(State::Down("paused".into())),
        ] {
            let upsert = |endpoint| Change::Upsert("a".into(), endpoint);
            let changes = vec![
                upsert(idle.clone()),
                upsert(Endpoint::new(1)),
                upsert(idle),
                upsert(Endpoint::new(1)),
            ];
            assert_eq!(said(changes).await, ["+a=1#1", "-a", "+a=1#2"]);
        }
    }

    #[tokio::test]
    async fn towers_balance_balances_what_we_find() {
        let discover = to_tower(fixed(["a", "b"]), |_, name| {
            let name = *name;
            Constant::new(service_fn(move |(): ()| async move { Ok::<_, Infallible>(name) }), 0)
        });
        let mut balance = p2c::Balance::new(discover);
        let mut answers = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            answers.insert(balance.ready().await.unwrap().call(()).await.unwrap());
        }
        assert_eq!(balance.len(), 2);
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
