//! What is known of the containers, put together from events, lists and
//! inspections that come in any order and at different ages.
//!
//! Nothing here waits, asks or looks at a clock: each input is given with its
//! time, each wish comes out as an [`Action`]. The rules:
//!
//! * An event is the newest there is. It takes effect at once, as far as it
//!   says what to do; for the rest the container is inspected.
//! * An inspection that began before the newest event is out of date, and is
//!   repeated. Only what never changes in a container is taken from it.
//! * A list may lag behind the events. It never decides anything: where it
//!   contradicts what is known, and began late enough, the container is
//!   inspected.
//! * Who was told to leave has left, until it starts again, or still runs when
//!   the engine would have killed it.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use lb_core::{
    discovery::Change,
    endpoint::{Endpoint, EndpointId},
    registry::Registration,
};

use crate::{
    container::{Container, Run, Summary},
    event::{Event, Happened, What},
    network::Vantage,
    options::LabelFilter,
    register::{Going, register},
};

/// A list that began within this time of an event may not show it yet.
const LIST_LAG: Duration = Duration::from_millis(500);

/// How long who has ended is kept, so that requests can wait for its restart.
const MOURNING: Duration = Duration::from_secs(10);

/// The engine's time between the signal to stop and the kill, where the
/// container doesn't set its own.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than that who still runs is taken back.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// What the first complete set waits for at most, so that one container that
/// can't be inspected doesn't hold up the others.
const SYNC_LIMIT: Duration = Duration::from_secs(2);

/// How long a failed inspection is not repeated.
const RETRY: Duration = Duration::from_millis(500);

/// How long the destroyed are remembered: longer than any answer takes.
const MEMORY: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give this out.
    Emit(Change<Registration>),
    /// Inspect this container and report to [`Reconciler::inspected`].
    Inspect(Arc<str>),
    /// List the containers and report to [`Reconciler::listed`].
    List,
    /// The balancer's own networks have changed: see which, and report to
    /// [`Reconciler::look_from`].
    LookAround,
}

/// What came of an inspection.
#[derive(Debug)]
pub(crate) enum Inspected {
    Found(Box<Container>),
    /// There is no such container.
    Missing,
    /// It could not be asked.
    Failed,
}

/// The containers, and what is left to do about them.
#[derive(Debug)]
pub(crate) struct Reconciler {
    entries: HashMap<Arc<str>, Entry>,
    /// The destroyed, and since when: a late answer must not bring them back.
    destroyed: HashMap<Arc<str>, Instant>,
    filters: Vec<LabelFilter>,
    vantage: Vantage,
    /// The container the balancer runs in.
    own: Option<Arc<str>>,
    sync: Sync,
    /// Whether the complete set was given out once.
    started: bool,
    actions: Vec<Action>,
}

#[derive(Debug)]
enum Sync {
    /// There was no list since the connection was made.
    Unlisted,
    /// Who was on the list is being inspected, since then.
    Inspecting(HashSet<Arc<str>>, Instant),
    Done,
}

#[derive(Debug, Default)]
struct Entry {
    /// As last inspected, with what events have said since.
    container: Option<Container>,
    phase: Phase,
    /// When an event last spoke of it.
    spoken: Option<Instant>,
    inspection: Inspection,
    /// As last given out.
    given: Option<Endpoint<Registration>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// What the inspection shows.
    #[default]
    On,
    /// It was told to leave and should be gone by then.
    Leaving { until: Instant },
    /// It has ended.
    Ended { since: Instant, code: Option<i64> },
}

#[derive(Clone, Copy, Debug, Default)]
enum Inspection {
    #[default]
    Idle,
    /// Asked for then; `stale` once an event has overtaken it.
    Asked { at: Instant, stale: bool },
    /// The last one failed then.
    Failed { at: Instant },
}

impl Reconciler {
    pub(crate) fn new(filters: Vec<LabelFilter>) -> Self {
        Self {
            entries: HashMap::new(),
            destroyed: HashMap::new(),
            filters,
            vantage: Vantage::default(),
            own: None,
            sync: Sync::Unlisted,
            started: false,
            actions: vec![],
        }
    }

    /// What is to be done by now.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// How many containers are known.
    pub(crate) fn len(&self) -> usize {
        self.entries.values().filter(|entry| entry.container.is_some()).count()
    }

    /// A new connection was made. What was asked over the old one is not
    /// answered any more, and events may have been missed.
    pub(crate) fn reconnected(&mut self) {
        self.sync = Sync::Unlisted;
        self.actions.clear();
        for entry in self.entries.values_mut() {
            if let Inspection::Asked { at, .. } = entry.inspection {
                entry.inspection = Inspection::Failed { at };
            }
        }
    }

    /// The balancer sees the containers from here, and runs in `own`.
    pub(crate) fn look_from(&mut self, vantage: Vantage, own: Option<Arc<str>>) {
        self.own = own;
        if self.vantage != vantage {
            self.vantage = vantage;
            for id in self.ids() {
                self.give(&id);
            }
        }
    }

    /// An event was read.
    pub(crate) fn event(&mut self, Event { at, what }: Event) {
        let (id, happened) = match what {
            What::Reload => return self.actions.push(Action::List),
            What::Container(id, happened) => (id, happened),
        };
        if happened == Happened::Network && self.own.as_ref() == Some(&id) {
            self.actions.push(Action::LookAround);
        }
        if happened == Happened::Destroy {
            self.destroyed(&id, at);
            return self.synchronise(at);
        }
        let tells = matches!(happened, Happened::Start | Happened::Kill(_) | Happened::Die(_));
        if !(tells || self.entries.contains_key(&id)) || self.destroyed.contains_key(&id) {
            // It starts later, or exists no more.
            return;
        }
        let entry = self.entries.entry(Arc::clone(&id)).or_default();
        entry.spoken = Some(at);
        if entry.happened(happened, at) {
            self.inspect(&id, at);
        }
        self.give(&id);
    }

    /// A list that was begun then has come.
    pub(crate) fn listed(&mut self, now: Instant, began: Instant, list: &[Summary]) {
        for summary in list {
            if self.destroyed.contains_key(&summary.id) {
                continue;
            }
            let entry = self.entries.entry(Arc::clone(&summary.id)).or_default();
            if entry.contradicted(summary, began) {
                self.inspect(&summary.id, now);
            }
        }
        let listed: HashSet<_> = list.iter().map(|summary| &summary.id).collect();
        for id in self.ids() {
            let Some(entry) = self.entries.get(&id) else { continue };
            if listed.contains(&id) || !entry.older_than(began) {
                continue;
            }
            match entry.phase {
                Phase::Ended { since, .. } if began > since + MOURNING => self.remove(&id),
                Phase::Ended { .. } => {}
                // Its end was missed.
                Phase::On | Phase::Leaving { .. } => self.inspect(&id, now),
            }
        }
        if matches!(self.sync, Sync::Unlisted) {
            let asked = |entry: &Entry| matches!(entry.inspection, Inspection::Asked { .. });
            let waiting = self.entries.iter().filter(|(_, entry)| asked(entry));
            let waiting = waiting.map(|(id, _)| Arc::clone(id)).collect();
            self.sync = Sync::Inspecting(waiting, now);
        }
        self.synchronise(now);
    }

    /// An inspection has ended.
    pub(crate) fn inspected(&mut self, now: Instant, id: &Arc<str>, inspected: Inspected) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let asked = mem::take(&mut entry.inspection);
        let Inspection::Asked { at, stale } = asked else { return };
        match inspected {
            Inspected::Missing => self.destroyed(id, now),
            Inspected::Failed => entry.inspection = Inspection::Failed { at: now },
            Inspected::Found(container) if stale => match entry.phase {
                // All that is of use now never changes.
                Phase::Ended { .. } => {
                    entry.container.get_or_insert(*container);
                }
                Phase::On | Phase::Leaving { .. } => return self.inspect(id, now),
            },
            Inspected::Found(container) => entry.found(*container, at, now),
        }
        self.give(id);
        if let Sync::Inspecting(waiting, _) = &mut self.sync {
            waiting.remove(id);
        }
        self.synchronise(now);
    }

    /// Time has passed. To be called a few times a second.
    pub(crate) fn tick(&mut self, now: Instant) {
        for id in self.ids() {
            let Some(entry) = self.entries.get(&id) else { continue };
            let due = match (entry.inspection, entry.phase) {
                (Inspection::Asked { .. }, _) => false,
                (Inspection::Failed { at }, _) => now >= at + RETRY,
                (Inspection::Idle, Phase::Leaving { until }) => now >= until,
                (Inspection::Idle, _) => false,
            };
            if due {
                self.inspect(&id, now);
            }
        }
        self.destroyed.retain(|_, since| now < *since + MEMORY);
        self.synchronise(now);
    }

    /// Asks for an inspection, or for the one under way to be repeated.
    fn inspect(&mut self, id: &Arc<str>, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        match &mut entry.inspection {
            Inspection::Asked { stale, .. } => *stale = true,
            inspection @ (Inspection::Idle | Inspection::Failed { .. }) => {
                *inspection = Inspection::Asked { at: now, stale: false };
                self.actions.push(Action::Inspect(Arc::clone(id)));
            }
        }
    }

    fn destroyed(&mut self, id: &Arc<str>, now: Instant) {
        self.destroyed.insert(Arc::clone(id), now);
        self.remove(id);
    }

    fn remove(&mut self, id: &Arc<str>) {
        if let Sync::Inspecting(waiting, _) = &mut self.sync {
            waiting.remove(id);
        }
        let gone = self.entries.remove(id);
        if self.started && gone.is_some_and(|entry| entry.given.is_some()) {
            self.actions.push(Action::Emit(Change::Remove(endpoint_id(id))));
        }
    }

    /// Gives out what has changed. Before the first complete set nothing is
    /// given out, as half of a set would look like all of it.
    fn give(&mut self, id: &Arc<str>) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let Some(endpoint) = entry.endpoint(&self.vantage, &self.filters) else { return };
        if self.started && entry.given.as_ref() != Some(&endpoint) {
            entry.given = Some(endpoint.clone());
            self.actions.push(Action::Emit(Change::Upsert(endpoint_id(id), endpoint)));
        }
    }

    /// Gives out the complete set, once it is complete.
    fn synchronise(&mut self, now: Instant) {
        let Sync::Inspecting(waiting, since) = &self.sync else { return };
        if !waiting.is_empty() && now < *since + SYNC_LIMIT {
            return;
        }
        self.sync = Sync::Done;
        self.started = true;
        let mut all = vec![];
        for (id, entry) in &mut self.entries {
            if let Some(endpoint) = entry.endpoint(&self.vantage, &self.filters) {
                entry.given = Some(endpoint.clone());
                all.push((endpoint_id(id), endpoint));
            }
        }
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.actions.push(Action::Emit(Change::Reset(all)));
    }

    fn ids(&self) -> Vec<Arc<str>> {
        self.entries.keys().cloned().collect()
    }
}

impl Entry {
    /// Takes in an event; true if the container is to be inspected.
    fn happened(&mut self, happened: Happened, at: Instant) -> bool {
        let ended = matches!(self.phase, Phase::Ended { .. });
        match (happened, &mut self.container) {
            (Happened::Start, container) => {
                // It has another address now: what is known of it is that of
                // the run before.
                if let (Phase::Ended { code, .. }, Some(container)) = (self.phase, container) {
                    container.run = Run::Ended(code);
                }
                self.phase = Phase::On;
                true
            }
            (Happened::Kill(signal), container) if !ended => {
                let container = container.as_ref();
                let stop = container.and_then(|container| container.stop_signal);
                if signal.is_none_or(|signal| signal.leaves(stop)) {
                    let timeout = container.and_then(|container| container.stop_timeout);
                    let until = at + timeout.unwrap_or(STOP_TIMEOUT) + STOP_MARGIN;
                    self.phase = Phase::Leaving { until };
                }
                // Who is told before it was inspected may have another signal
                // to stop on, and still has hosts to tell.
                container.is_none()
            }
            (Happened::Die(code), _) => {
                self.phase = Phase::Ended { since: at, code };
                self.overtake();
                false
            }
            (Happened::Pause, Some(container)) => {
                container.run = Run::Paused;
                self.overtake();
                false
            }
            (Happened::Health(health), Some(container)) => {
                // What the check printed is in the inspection only.
                let inspect = matches!(health, crate::container::Health::Unhealthy(_));
                container.health = health;
                self.overtake();
                inspect
            }
            (Happened::Oom, _) => false,
            // An ended container loses its networks; its start says more.
            (Happened::Network | Happened::Kill(_), _) if ended => false,
            _ => true,
        }
    }

    /// An event tells more than the inspection under way.
    fn overtake(&mut self) {
        if let Inspection::Asked { stale, .. } = &mut self.inspection {
            *stale = true;
        }
    }

    /// Takes in an inspection that was asked for after the newest event.
    fn found(&mut self, container: Container, asked: Instant, now: Instant) {
        self.phase = match (self.phase, container.run) {
            (ended @ Phase::Ended { .. }, Run::Ended(_)) => ended,
            (_, Run::Ended(code)) => Phase::Ended { since: now, code },
            (Phase::Leaving { until }, _) if asked < until => Phase::Leaving { until },
            // The engine may say for a moment more that it runs.
            (Phase::Ended { since, code }, _) if asked < since + LIST_LAG => {
                Phase::Ended { since, code }
            }
            _ => Phase::On,
        };
        self.container = Some(container);
    }

    /// Whether a list that began then and shows this asks for an inspection.
    fn contradicted(&self, summary: &Summary, began: Instant) -> bool {
        let Some(container) = &self.container else {
            return !matches!(self.inspection, Inspection::Asked { .. }) && self.older_than(began);
        };
        // What was left unanswered when the connection was lost.
        if let Inspection::Failed { .. } = self.inspection {
            return true;
        }
        self.older_than(began)
            && match self.phase {
                Phase::On => summary.contradicts(container),
                Phase::Leaving { .. } => false,
                Phase::Ended { .. } => matches!(summary.run, Run::Running | Run::Paused),
            }
    }

    /// Whether a list that began then knows of every event.
    fn older_than(&self, began: Instant) -> bool {
        self.spoken.is_none_or(|spoken| began > spoken + LIST_LAG)
    }

    fn endpoint(
        &self,
        vantage: &Vantage,
        filters: &[LabelFilter],
    ) -> Option<Endpoint<Registration>> {
        let container = self.container.as_ref()?;
        if !filters.iter().all(|filter| filter.passes(container.label(&filter.key))) {
            return None;
        }
        let going = match self.phase {
            Phase::On => Going::On,
            Phase::Leaving { .. } => Going::Out,
            Phase::Ended { code, .. } => Going::Gone(code),
        };
        Some(register(container, going, vantage))
    }
}

fn endpoint_id(id: &Arc<str>) -> EndpointId {
    Arc::clone(id).into()
}

#[cfg(test)]
mod tests;
