use std::{
    collections::{BTreeSet, HashMap},
    future,
    pin::Pin,
    sync::Arc,
    time::Instant,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task::{self, AbortHandle, JoinError, JoinSet},
    time,
};

use super::{Active, ActiveOptions, Check, CheckError, Status, Transition, pause::MIN_PAUSE};
use crate::{clock, endpoint::EndpointId};

/// Runs the active checks of a pool: each when it is due, and together with
/// other pools not too many at one time.
///
/// All endpoints share one queue, by due time, so that an endpoint costs an
/// entry and no timer. When the limit is reached, whoever is due longest is
/// next. A check runs as a task: one that panics has failed, and dropping the
/// prober ends all of them.
pub(super) struct Prober<T> {
    check: Arc<dyn Check<T>>,
    options: ActiveOptions,
    limit: Arc<Semaphore>,
    /// In line for a permit, since there was none for a check that is due. It
    /// keeps its place, so that no pool can have them all.
    waiting: Option<Waiting>,
    granted: Option<OwnedSemaphorePermit>,
    members: HashMap<EndpointId, Member<T>>,
    due: BTreeSet<(Instant, EndpointId)>,
    probes: JoinSet<Result<(), CheckError>>,
    /// Whose each probe is, unless that one has gone.
    whose: HashMap<task::Id, EndpointId>,
}

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

struct Member<T> {
    target: Arc<T>,
    active: Active,
    probe: Option<AbortHandle>,
}

/// A check has changed what is known of an endpoint.
pub(super) struct Changed {
    pub(super) id: EndpointId,
    pub(super) transition: Transition,
    pub(super) result: Result<(), CheckError>,
}

type Joined = Result<(task::Id, Result<(), CheckError>), JoinError>;

impl<T: Send + Sync + 'static> Prober<T> {
    pub(super) fn new(
        check: Arc<dyn Check<T>>,
        options: ActiveOptions,
        limit: Arc<Semaphore>,
    ) -> Self {
        Self {
            check,
            options,
            limit,
            waiting: None,
            granted: None,
            members: HashMap::new(),
            due: BTreeSet::new(),
            probes: JoinSet::new(),
            whose: HashMap::new(),
        }
    }

    pub(super) fn insert(&mut self, now: Instant, id: EndpointId, target: T) {
        self.remove(&id);
        let active = Active::new(&self.options, now);
        self.due.insert((active.next_at(), id.clone()));
        self.members.insert(id, Member { target: Arc::new(target), active, probe: None });
    }

    pub(super) fn remove(&mut self, id: &EndpointId) {
        let Some(member) = self.members.remove(id) else { return };
        match member.probe {
            Some(probe) => {
                self.whose.remove(&probe.id());
                probe.abort();
            }
            None => _ = self.due.remove(&(member.active.next_at(), id.clone())),
        }
    }

    pub(super) fn status(&self, id: &EndpointId) -> Status {
        self.members.get(id).map_or(Status::Pending, |member| member.active.status())
    }

    /// When to [start](Self::start) again; `None` while no more may run, and
    /// something will have [ended](Self::ended) before.
    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.waiting.is_some() {
            return None;
        }
        self.due.first().map(|(at, _)| *at)
    }

    /// Starts the checks that are due, as many as may run.
    pub(super) fn start(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some(permit) = self.permit() else { return };
            let Some((_, id)) = self.due.pop_first() else { return };
            let Some(member) = self.members.get_mut(&id) else { continue };
            let (check, target) = (Arc::clone(&self.check), Arc::clone(&member.target));
            let (subject, limit) = (id.clone(), self.options.timeout.max(MIN_PAUSE));
            let probe = self.probes.spawn(async move {
                let _permit = permit;
                match time::timeout(limit, check.check(&subject, &target)).await {
                    Ok(result) => result,
                    Err(_) => Err(CheckError::new(format!("no answer within {limit:?}"))),
                }
            });
            self.whose.insert(probe.id(), id);
            member.probe = Some(probe);
        }
        // Whoever was due has gone: others may have what was meant for it.
        (self.waiting, self.granted) = (None, None);
    }

    fn permit(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.granted.is_some() || self.waiting.is_some() {
            return self.granted.take();
        }
        let permit = Arc::clone(&self.limit).try_acquire_owned().ok();
        if permit.is_none() {
            self.waiting = Some(Box::pin(Arc::clone(&self.limit).acquire_owned()));
        }
        permit
    }

    /// Waits until a check has ended or another one may start; says what it has
    /// changed, if anything. Nothing is lost when the wait is given up.
    pub(super) async fn ended(&mut self) -> Option<Changed> {
        let Self { probes, waiting, .. } = self;
        let ended = async {
            match probes.join_next_with_id().await {
                Some(joined) => joined,
                None => future::pending().await,
            }
        };
        let granted = async {
            match waiting {
                Some(waiting) => waiting.await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            joined = ended => self.take(clock::now(), joined),
            permit = granted => {
                (self.waiting, self.granted) = (None, permit.ok());
                None
            }
        }
    }

    /// The same for a check that has ended already, if there is one.
    pub(super) fn try_ended(&mut self, now: Instant) -> Option<Option<Changed>> {
        let joined = self.probes.try_join_next_with_id()?;
        Some(self.take(now, joined))
    }

    fn take(&mut self, now: Instant, joined: Joined) -> Option<Changed> {
        let (probe, result) = match joined {
            Ok((probe, result)) => (probe, result),
            Err(error) => (error.id(), Err(CheckError::new(format!("no result: {error}")))),
        };
        let id = self.whose.remove(&probe)?;
        let member = self.members.get_mut(&id)?;
        member.probe = None;
        let transition = member.active.observe(now, result.is_ok());
        self.due.insert((member.active.next_at(), id.clone()));
        transition.map(|transition| Changed { id, transition, result })
    }
}
