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

mod entry;

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use lb_core::{discovery::Change, endpoint::EndpointId, registry::Registration};

use crate::{
    container::{Container, Summary},
    event::{Event, Happened, What},
    network::Vantage,
    options::LabelFilter,
};

use self::entry::{Entry, Inspection, Phase};

/// How long who has ended is kept, so that requests can wait for its restart.
const MOURNING: Duration = Duration::from_secs(10);

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

    /// Whether nothing is being asked of a container, nor is to be asked again.
    pub(crate) fn is_settled(&self, id: &str) -> bool {
        self.entries.get(id).is_none_or(|entry| matches!(entry.inspection, Inspection::Idle))
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
    pub(crate) fn event(&mut self, Event { at, what, .. }: Event) {
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

fn endpoint_id(id: &Arc<str>) -> EndpointId {
    Arc::clone(id).into()
}

#[cfg(test)]
mod tests;
