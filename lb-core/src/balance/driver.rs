use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{BalancerFactory, Cluster, Member, service::Shared};
use crate::{
    discovery::{Change, Discovery},
    endpoint::{Endpoint, EndpointId, State},
    load::Load,
};

pin_project_lite::pin_project! {
    /// Reads a discovery and publishes what it says to its
    /// [`Balance`](super::Balance). Spawn it, or poll it beside other work.
    ///
    /// It ends when the discovery does; the last set stays in force.
    #[must_use = "a balance knows no endpoint until its driver is polled"]
    pub struct Driver<D: Discovery, F, S> {
        #[pin]
        discovery: D,
        connect: F,
        factory: Box<dyn BalancerFactory>,
        known: BTreeMap<EndpointId, Known<D::Target, S>>,
        shared: Arc<Shared<S>>,
    }
}

struct Known<T, S> {
    endpoint: Endpoint<T>,
    service: S,
    load: Arc<Load>,
}

/// Changes taken in one go at most, so that a source which never pauses can't
/// keep what it says from being published.
const BATCH: usize = 1024;

impl<D, F, S> Driver<D, F, S>
where
    D: Discovery,
    D::Target: PartialEq,
    F: FnMut(&EndpointId, &D::Target) -> S,
    S: Clone,
{
    pub(super) fn new(
        discovery: D,
        connect: F,
        factory: Box<dyn BalancerFactory>,
        shared: Arc<Shared<S>>,
    ) -> Self {
        Self { discovery, connect, factory, known: BTreeMap::new(), shared }
    }
}

impl<D, F, S> Future for Driver<D, F, S>
where
    D: Discovery,
    D::Target: PartialEq,
    F: FnMut(&EndpointId, &D::Target) -> S,
    S: Clone,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let first = ready!(this.discovery.as_mut().poll_next(cx));
            let Some(change) = first else { return Poll::Ready(()) };
            apply(this.known, change, this.connect);
            // What is already there belongs into the same snapshot.
            let mut ended = false;
            for _ in 1..BATCH {
                match this.discovery.as_mut().poll_next(cx) {
                    Poll::Ready(Some(change)) => apply(this.known, change, this.connect),
                    Poll::Pending => break,
                    Poll::Ready(None) => {
                        // Not every stream bears being asked again.
                        ended = true;
                        break;
                    }
                }
            }
            this.shared.publish(snapshot(this.known, this.factory.as_ref()));
            if ended {
                return Poll::Ready(());
            }
        }
    }
}

fn apply<T: PartialEq, S>(
    known: &mut BTreeMap<EndpointId, Known<T, S>>,
    change: Change<T>,
    connect: &mut impl FnMut(&EndpointId, &T) -> S,
) {
    match change {
        Change::Reset(set) => {
            let mut before = std::mem::take(known);
            for (id, endpoint) in set {
                let was = known.remove(&id).or_else(|| before.remove(&id));
                upsert(known, id, endpoint, was, connect);
            }
            before.into_values().for_each(|gone| retire(&gone));
        }
        Change::Upsert(id, endpoint) => {
            let was = known.remove(&id);
            upsert(known, id, endpoint, was, connect);
        }
        Change::Remove(id) => {
            if let Some(gone) = known.remove(&id) {
                retire(&gone);
            }
        }
    }
}

/// An endpoint whose target is what it was keeps its service and its load.
fn upsert<T: PartialEq, S>(
    known: &mut BTreeMap<EndpointId, Known<T, S>>,
    id: EndpointId,
    endpoint: Endpoint<T>,
    was: Option<Known<T, S>>,
    connect: &mut impl FnMut(&EndpointId, &T) -> S,
) {
    let ready = endpoint.state == State::Active && endpoint.weight > 0;
    let (service, load) = match was {
        Some(was) if was.endpoint.target == endpoint.target => (was.service, was.load),
        was => {
            if let Some(was) = was {
                retire(&was);
            }
            (connect(&id, &endpoint.target), Arc::new(Load::new(ready)))
        }
    };
    load.set_ready(ready);
    known.insert(id, Known { endpoint, service, load });
}

/// Who still holds an older snapshot must not pick it any more.
fn retire<T, S>(gone: &Known<T, S>) {
    gone.load.set_ready(false);
}

fn snapshot<T, S: Clone>(
    known: &BTreeMap<EndpointId, Known<T, S>>,
    factory: &dyn BalancerFactory,
) -> Cluster<S> {
    let members = known
        .iter()
        .map(|(id, known)| Member {
            id: id.clone(),
            weight: known.endpoint.weight,
            target: known.service.clone(),
            load: Arc::clone(&known.load),
        })
        .collect();
    Cluster::new(members, factory)
}

impl<D: Discovery, F, S> fmt::Debug for Driver<D, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("endpoints", &self.known.len()).finish_non_exhaustive()
    }
}
