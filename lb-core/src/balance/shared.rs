use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::{sync::Notify, time};

use super::{Cluster, Error, PickContext, Tried};
use crate::{
    clock,
    load::{Lease, epoch},
};

/// Where a [`Driver`](super::Driver) and its [`Balance`](super::Balance) meet,
/// and where requests wait that no endpoint can take.
pub(super) struct Shared<S> {
    cluster: ArcSwapOption<Cluster<S>>,
    /// The cluster is another one, or one of its members is ready.
    changed: Notify,
    /// A request has ended where requests in flight are limited.
    freed: Arc<Notify>,
    waiting: AtomicUsize,
    outage: Mutex<Option<Outage>>,
}

/// No endpoint was ready, from `since` until readiness is at another epoch.
#[derive(Clone, Copy)]
struct Outage {
    since: Instant,
    epoch: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) wait: Duration,
    pub(super) queue: usize,
    pub(super) max_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10), queue: 1024, max_in_flight: usize::MAX }
    }
}

/// What one request asks of a pick.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) hash: Option<u64>,
    pub(super) tried: Option<Tried>,
}

/// A service for one request, or why there is none.
pub(super) type Picked<S> = Result<(S, Lease), Vain>;

/// Why a request waited in vain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vain {
    NoEndpoints,
    NoneReady,
    Overloaded,
}

impl<E> From<Vain> for Error<E> {
    fn from(vain: Vain) -> Self {
        match vain {
            Vain::NoEndpoints => Self::NoEndpoints,
            Vain::NoneReady => Self::NoneReady,
            Vain::Overloaded => Self::Overloaded,
        }
    }
}

impl<S> Shared<S> {
    pub(super) fn new() -> Self {
        Self {
            cluster: ArcSwapOption::empty(),
            changed: Notify::new(),
            freed: Arc::new(Notify::new()),
            waiting: AtomicUsize::new(0),
            outage: Mutex::new(None),
        }
    }

    pub(super) fn cluster(&self) -> Option<Arc<Cluster<S>>> {
        self.cluster.load_full()
    }

    pub(super) fn publish(&self, cluster: Cluster<S>) {
        self.cluster.store(Some(Arc::new(cluster)));
        self.wake();
    }

    /// Has waiting requests look again.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Since when no endpoint has been ready.
    fn outage(&self, now: Instant) -> Instant {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = epoch();
        match *outage {
            Some(known) if known.epoch == epoch => known.since,
            _ => outage.insert(Outage { since: now, epoch }).since,
        }
    }

    fn vain(&self) -> Vain {
        match &*self.cluster.load() {
            Some(cluster) if cluster.is_ready() => Vain::Overloaded,
            Some(cluster) if !cluster.members().is_empty() => Vain::NoneReady,
            _ => Vain::NoEndpoints,
        }
    }
}

impl<S: Clone> Shared<S> {
    /// A pick for a request that has just come. It doesn't overtake those that
    /// wait for room.
    #[inline]
    pub(super) fn pick(&self, wanted: &Wanted, limits: &Limits) -> Option<(S, Lease)> {
        let limited = limits.max_in_flight != usize::MAX;
        if limited && self.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.pick_now(wanted, limits)
    }

    #[inline]
    fn pick_now(&self, wanted: &Wanted, limits: &Limits) -> Option<(S, Lease)> {
        let cluster = self.cluster.load();
        let cluster = cluster.as_ref()?;
        let cx = PickContext::new().hash(wanted.hash).max_in_flight(limits.max_in_flight);
        let (member, lease) = match &wanted.tried {
            None => cluster.pick(&cx)?,
            Some(tried) => tried.pick(cluster, &cx)?,
        };
        let limited = limits.max_in_flight != usize::MAX;
        let lease = if limited { lease.frees(&self.freed) } else { lease };
        Some((member.endpoint.target.clone(), lease))
    }

    /// Waits for an endpoint, within limits.
    pub(super) async fn picked(self: Arc<Self>, wanted: Wanted, limits: Limits) -> Picked<S> {
        let _waiting = Waiting::begin(&self.waiting, limits.queue)?;
        let now = clock::now();
        let since = match self.vain() {
            Vain::Overloaded => now,
            Vain::NoEndpoints | Vain::NoneReady => self.outage(now),
        };
        let deadline = since + limits.wait;
        if deadline <= now {
            return Err(self.vain());
        }
        let pick = async {
            loop {
                // Listen first, look second: a change in between is not missed.
                let mut changed = std::pin::pin!(self.changed.notified());
                let mut freed = std::pin::pin!(self.freed.notified());
                changed.as_mut().enable();
                freed.as_mut().enable();
                if let Some(picked) = self.pick_now(&wanted, &limits) {
                    return picked;
                }
                tokio::select! {
                    () = changed => {}
                    () = freed => {}
                }
            }
        };
        time::timeout_at(deadline.into(), pick).await.map_err(|_| self.vain())
    }
}

/// One request in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize, limit: usize) -> Result<Self, Vain> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let this = Self(waiting);
        if before >= limit { Err(Vain::Overloaded) } else { Ok(this) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
