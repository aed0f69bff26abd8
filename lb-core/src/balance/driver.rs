use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    future::{self, poll_fn},
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use super::{BalancerFactory, Cluster, Member, shared::Shared};
use crate::{
    clock,
    discovery::{Change, Discovery, poll_batch},
    endpoint::{Endpoint, EndpointId},
    health::{Health, Monitor},
    load::Load,
};

/// Reads a discovery and publishes what it says to its
/// [`Balance`](super::Balance), once it [runs](Self::run).
#[must_use = "a balance knows no endpoint until its driver runs"]
pub struct Driver<D: Discovery, F, S> {
    discovery: D,
    members: Members<D::Target, F, S>,
    factory: Box<dyn BalancerFactory>,
    /// Belongs to the balance; a driver has nothing to do without one.
    shared: Weak<Shared<S>>,
    abandoned: Arc<Notify>,
}

/// The endpoints as last heard, with what was made for each.
struct Members<T, F, S> {
    known: BTreeMap<EndpointId, Known<T, S>>,
    connect: F,
    monitor: Option<Monitor<T>>,
    /// How quick a new one is taken to be: as quick as the others on average.
    latency: Option<Duration>,
}

struct Known<T, S> {
    endpoint: Endpoint<T>,
    service: S,
    load: Arc<Load>,
}

impl<D, F, S> Driver<D, F, S>
where
    D: Discovery,
    D::Target: Clone + PartialEq + Send + Sync + 'static,
    F: FnMut(&EndpointId, &D::Target) -> S,
    S: Clone + Send + Sync + 'static,
{
    pub(super) fn new(
        discovery: D,
        connect: F,
        factory: Box<dyn BalancerFactory>,
        shared: &Arc<Shared<S>>,
    ) -> Self {
        let members = Members { known: BTreeMap::new(), connect, monitor: None, latency: None };
        let abandoned = shared.abandoned();
        Self { discovery, members, factory, shared: Arc::downgrade(shared), abandoned }
    }

    /// Watches over the health of the endpoints: active checks, outliers, slow
    /// start, as `health` says. Without it every endpoint that is wanted is
    /// picked, except by algorithms that judge for themselves.
    pub fn health(mut self, health: Health<D::Target>) -> Self {
        let shared = Weak::clone(&self.shared);
        let wake = move || {
            if let Some(shared) = shared.upgrade() {
                shared.wake();
            }
        };
        self.members.monitor = Some(Monitor::new(health).on_change(wake));
        self
    }

    /// Keeps its balance up to date. Spawn it, or poll it beside other work.
    ///
    /// It ends with the last clone of the balance, or when the discovery does;
    /// the last set stays in force then. With [health](Self::health) it goes on
    /// after the end of the discovery. A discovery that ends without an endpoint
    /// leaves requests with [`Error::NoEndpoints`](super::Error::NoEndpoints).
    pub async fn run(self) {
        let Self { discovery, mut members, factory, shared, abandoned } = self;
        let mut discovery = pin!(discovery);
        let mut ended = false;
        while !ended {
            let mut batch = Vec::new();
            ended = tokio::select! {
                ended = poll_fn(|cx| poll_batch(discovery.as_mut(), &mut batch, cx)) => ended,
                never = watch(&mut members.monitor) => match never {},
                () = abandoned.notified() => return,
            };
            let Some(shared) = shared.upgrade() else { return };
            if !batch.is_empty() {
                let timing = shared.cluster().and_then(|cluster| cluster.timing());
                members.latency = timing.and_then(|_| members.average_latency());
                batch.into_iter().for_each(|change| members.apply(change));
                shared.publish(members.snapshot(factory.as_ref()));
            }
        }
        if members.monitor.is_some() {
            tokio::select! {
                never = watch(&mut members.monitor) => match never {},
                () = abandoned.notified() => {}
            }
        }
    }
}

async fn watch<T: Send + Sync + 'static>(monitor: &mut Option<Monitor<T>>) -> Infallible {
    match monitor {
        Some(monitor) => monitor.run().await,
        None => future::pending().await,
    }
}

impl<T, F, S> Members<T, F, S>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    F: FnMut(&EndpointId, &T) -> S,
    S: Clone,
{
    fn apply(&mut self, change: Change<T>) {
        match change {
            Change::Reset(set) => {
                let mut before = std::mem::take(&mut self.known);
                for (id, endpoint) in set {
                    let was = self.known.remove(&id).or_else(|| before.remove(&id));
                    self.upsert(id, endpoint, was);
                }
                before.iter().for_each(|(id, gone)| self.retire(id, gone));
            }
            Change::Upsert(id, endpoint) => {
                let was = self.known.remove(&id);
                self.upsert(id, endpoint, was);
            }
            Change::Remove(id) => {
                if let Some(gone) = self.known.remove(&id) {
                    self.retire(&id, &gone);
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
                    self.retire(&id, &was);
                }
                let load = Arc::new(Load::new(wanted));
                if let Some(latency) = self.latency {
                    load.assume_latency(latency, clock::now());
                }
                if let Some(monitor) = &mut self.monitor {
                    monitor.insert(id.clone(), endpoint.target.clone(), Arc::clone(&load));
                }
                ((self.connect)(&id, &endpoint.target), load)
            }
        };
        if let Some(monitor) = &mut self.monitor {
            monitor.set_priority(&id, endpoint.priority);
        }
        load.set_ready(wanted);
        self.known.insert(id, Known { endpoint, service, load });
    }

    /// Who still holds an older snapshot must not pick it any more.
    fn retire(&mut self, id: &EndpointId, gone: &Known<T, S>) {
        gone.load.set_ready(false);
        if let Some(monitor) = &mut self.monitor {
            monitor.remove(id);
        }
    }

    fn average_latency(&self) -> Option<Duration> {
        let now = clock::now();
        let known: Vec<_> =
            self.known.values().filter_map(|known| known.load.latency(now)).collect();
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

impl<D: Discovery, F, S> fmt::Debug for Driver<D, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.members.known.len();
        f.debug_struct("Driver").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}
