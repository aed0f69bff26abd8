use std::{
    collections::BTreeMap, fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration,
};

use super::{BalancerFactory, Cluster, Member, shared::Shared};
use crate::{
    clock,
    discovery::{Change, Discovery},
    endpoint::{Endpoint, EndpointId},
    load::{Load, Timing},
};

/// Reads a discovery and publishes what it says to its
/// [`Balance`](super::Balance), once it [runs](Self::run).
#[must_use = "a balance knows no endpoint until its driver runs"]
pub struct Driver<D: Discovery, F, S> {
    discovery: D,
    members: Members<D::Target, F, S>,
    factory: Box<dyn BalancerFactory>,
    shared: Arc<Shared<S>>,
}

/// The endpoints as last heard, with what was made for each.
struct Members<T, F, S> {
    known: BTreeMap<EndpointId, Known<T, S>>,
    connect: F,
    /// How quick a new one is taken to be: as quick as the others on average.
    latency: Option<Duration>,
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
        let members = Members { known: BTreeMap::new(), connect, latency: None };
        Self { discovery, members, factory, shared }
    }

    /// Keeps its balance up to date. Spawn it, or poll it beside other work.
    ///
    /// It ends when the discovery does; the last set stays in force.
    pub async fn run(self) {
        let Self { discovery, mut members, factory, shared } = self;
        let mut discovery = pin!(discovery);
        let mut ended = false;
        while !ended {
            let mut batch = Vec::new();
            ended = poll_fn(|cx| {
                // What is already there belongs into the same snapshot. Not every
                // stream bears being asked again after its end.
                while batch.len() < BATCH {
                    match discovery.as_mut().poll_next(cx) {
                        Poll::Ready(Some(change)) => batch.push(change),
                        Poll::Ready(None) => return Poll::Ready(true),
                        Poll::Pending if batch.is_empty() => return Poll::Pending,
                        Poll::Pending => break,
                    }
                }
                Poll::Ready(false)
            })
            .await;
            if batch.is_empty() {
                break;
            }
            let timing = shared.cluster().and_then(|cluster| cluster.timing());
            members.latency = timing.and_then(|timing| members.average_latency(&timing));
            batch.into_iter().for_each(|change| members.apply(change));
            shared.publish(members.snapshot(factory.as_ref()));
        }
    }
}

impl<T: PartialEq, F: FnMut(&EndpointId, &T) -> S, S: Clone> Members<T, F, S> {
    fn apply(&mut self, change: Change<T>) {
        match change {
            Change::Reset(set) => {
                let mut before = std::mem::take(&mut self.known);
                for (id, endpoint) in set {
                    let was = self.known.remove(&id).or_else(|| before.remove(&id));
                    self.upsert(id, endpoint, was);
                }
                before.into_values().for_each(|gone| gone.retire());
            }
            Change::Upsert(id, endpoint) => {
                let was = self.known.remove(&id);
                self.upsert(id, endpoint, was);
            }
            Change::Remove(id) => {
                if let Some(gone) = self.known.remove(&id) {
                    gone.retire();
                }
            }
        }
    }

    /// An endpoint whose target is what it was keeps its service and its load.
    fn upsert(&mut self, id: EndpointId, endpoint: Endpoint<T>, was: Option<Known<T, S>>) {
        let wanted = endpoint.is_wanted();
        let (service, load) = match was {
            Some(was) if was.endpoint.target == endpoint.target => (was.service, was.load),
            was => {
                if let Some(was) = was {
                    was.retire();
                }
                let load = Load::new(wanted);
                if let Some(latency) = self.latency {
                    load.assume_latency(latency, clock::now());
                }
                ((self.connect)(&id, &endpoint.target), Arc::new(load))
            }
        };
        load.set_ready(wanted);
        self.known.insert(id, Known { endpoint, service, load });
    }

    fn average_latency(&self, timing: &Timing) -> Option<Duration> {
        let now = clock::now();
        let known: Vec<_> =
            self.known.values().filter_map(|known| known.load.latency(now, timing)).collect();
        known.iter().sum::<Duration>().checked_div(u32::try_from(known.len()).ok()?)
    }

    fn snapshot(&self, factory: &dyn BalancerFactory) -> Cluster<S> {
        let members = self
            .known
            .iter()
            .map(|(id, known)| Member {
                id: id.clone(),
                endpoint: known.endpoint.with(known.service.clone()),
                load: Arc::clone(&known.load),
            })
            .collect();
        Cluster::new(members, factory)
    }
}

impl<T, S> Known<T, S> {
    /// Who still holds an older snapshot must not pick it any more.
    fn retire(&self) {
        self.load.set_ready(false);
    }
}

impl<D: Discovery, F, S> fmt::Debug for Driver<D, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.members.known.len();
        f.debug_struct("Driver").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}
