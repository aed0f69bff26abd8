use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::Notify, time};

use super::{
    Cluster, Error, PickContext, Tried,
    room::{Room, Seat},
};
use crate::load::Lease;

/// Where a [`Driver`](super::Driver) and its [`Balance`](super::Balance) meet,
/// and where requests wait that no endpoint can take.
pub(super) struct Shared<S> {
    cluster: ArcSwapOption<Cluster<S>>,
    /// The cluster is another one, or one of its members is ready.
    changed: Notify,
    /// A request has ended where requests in flight are limited.
    freed: Arc<Notify>,
    room: Room,
    /// Those who wait there and for whom it is known that endpoints are ready and full.
    in_line: AtomicUsize,
    max_in_flight: AtomicUsize,
    abandoned: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) wait: Duration,
    pub(super) queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10), queue: 1024 }
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
            room: Room::default(),
            in_line: AtomicUsize::new(0),
            max_in_flight: AtomicUsize::new(usize::MAX),
            abandoned: Arc::new(Notify::new()),
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
        if self.cluster.load().as_ref().is_some_and(|cluster| cluster.is_ready()) {
            self.room.ready();
        }
        self.changed.notify_waiters();
    }

    pub(super) fn set_max_in_flight(&self, most: usize) {
        self.max_in_flight.store(most, Ordering::Relaxed);
    }

    /// Is notified when the last balance is gone.
    pub(super) fn abandoned(&self) -> Arc<Notify> {
        Arc::clone(&self.abandoned)
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
    pub(super) fn pick(&self, wanted: &Wanted) -> Option<(S, Lease)> {
        if self.is_line() { None } else { self.pick_now(wanted) }
    }

    /// Whether any request waits for room.
    fn is_line(&self) -> bool {
        self.in_line.load(Ordering::Relaxed) > 0
    }

    #[inline]
    fn pick_now(&self, wanted: &Wanted) -> Option<(S, Lease)> {
        let cluster = self.cluster.load();
        let cluster = cluster.as_ref()?;
        let most = self.max_in_flight.load(Ordering::Relaxed);
        let cx = PickContext::new().hash(wanted.hash).max_in_flight(most);
        let (member, lease) = match &wanted.tried {
            None => cluster.pick(&cx)?,
            Some(tried) => tried.pick(cluster, &cx)?,
        };
        self.room.ready();
        let lease = if most == usize::MAX { lease } else { lease.frees(&self.freed) };
        Some((member.endpoint.target.clone(), lease))
    }

    /// Waits for an endpoint, within limits.
    pub(super) async fn picked(self: Arc<Self>, wanted: Wanted, limits: Limits) -> Picked<S> {
        let mut behind_others = self.is_line();
        let _waiting = self.room.enter(limits.queue).ok_or(Vain::Overloaded)?;
        let mut in_line = None;
        let vain = self.vain();
        let waited = match vain {
            Vain::Overloaded => Duration::ZERO,
            Vain::NoEndpoints | Vain::NoneReady => self.room.outage(),
        };
        let left = limits.wait.saturating_sub(waited);
        if left.is_zero() {
            return Err(vain);
        }
        let pick = async {
            loop {
                // Listen first, look second: a change in between is not missed.
                let mut changed = std::pin::pin!(self.changed.notified());
                let mut freed = std::pin::pin!(self.freed.notified());
                changed.as_mut().enable();
                freed.as_mut().enable();
                // Who waits already is first in line for what is free now.
                let picked = if behind_others { None } else { self.pick_now(&wanted) };
                if let Some(picked) = picked {
                    return picked;
                }
                behind_others = false;
                if in_line.is_none() && matches!(self.vain(), Vain::Overloaded) {
                    in_line = Seat::take(&self.in_line, usize::MAX);
                }
                tokio::select! {
                    () = changed => {}
                    () = freed => {}
                }
            }
        };
        match time::timeout(left, pick).await {
            Ok(picked) => Ok(picked),
            // Nobody tells of what was done to a load behind our back.
            Err(_) => self.pick_now(&wanted).ok_or_else(|| self.vain()),
        }
    }
}

impl<S> Drop for Shared<S> {
    fn drop(&mut self) {
        self.abandoned.notify_one();
    }
}
