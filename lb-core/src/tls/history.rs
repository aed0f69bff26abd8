//! What was read so far, and what of it is in force.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Effect, Problem,
    directory::Unit,
    entry::{Entry, Refusal},
    pair::Fault,
};

/// Takes what is read of the folder, name by name: a version of a name's files
/// counts once two reads in a row found the same, and is in force if it can be
/// served.
#[derive(Default)]
pub(super) struct History {
    names: BTreeMap<String, Known>,
}

#[derive(Default)]
struct Known {
    in_force: Option<InForce>,
    refused: Option<Refused>,
    /// What the last read found, if that was something new; `None` in it for no
    /// files.
    seen: Option<Option<u64>>,
}

struct InForce {
    /// None if there has been no version that can be served.
    print: Option<u64>,
    entry: Arc<Entry>,
    warnings: Vec<Fault>,
}

struct Refused {
    print: u64,
    refusal: Refusal,
}

/// What a read has come to.
pub(super) struct Step {
    /// Whether another set is in force.
    pub(super) changed: bool,
    /// Whether another read may find it the same, and put it in force.
    pub(super) unsettled: bool,
}

impl History {
    pub(super) fn read(&mut self, mut units: BTreeMap<String, Unit>, now: SystemTime) -> Step {
        let mut step = Step { changed: false, unsettled: false };
        let names: BTreeSet<_> = self.names.keys().chain(units.keys()).cloned().collect();
        for name in names {
            let unit = units.remove(&name);
            let known = self.names.entry(name.clone()).or_default();
            if !known.settles(unit.as_ref().map(Unit::fingerprint), &mut step) {
                continue;
            }
            step.changed = true;
            match unit {
                Some(unit) => known.take(&name, &unit, now),
                None => drop(self.names.remove(&name)),
            }
        }
        step
    }

    /// Nothing was read, so the next read is the first in a row.
    pub(super) fn interrupted(&mut self) {
        for known in self.names.values_mut() {
            known.seen = None;
        }
    }

    pub(super) fn in_force(&self) -> HashMap<String, Arc<Entry>> {
        let entry = |(name, known): (&String, &Known)| {
            Some((name.clone(), known.in_force.as_ref()?.entry.clone()))
        };
        self.names.iter().filter_map(entry).collect()
    }

    /// Whether a certificate is served under this name.
    pub(super) fn has_certificate(&self, name: &str) -> bool {
        let in_force = self.names.get(name).and_then(|known| known.in_force.as_ref());
        in_force.is_some_and(|in_force| in_force.entry.pair.is_some())
    }

    /// What is wrong with files, but for what time has made of them.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let of = |(name, known): (&String, &Known)| {
            let warnings = known.in_force.iter().flat_map(|in_force| &in_force.warnings);
            let warnings = warnings.map(|fault| fault.problem(name, Effect::ServedAnyway));
            let refused = known.refused.as_ref();
            let refused =
                refused.map(|refused| refused.refusal.fault.problem(name, known.effect()));
            refused.into_iter().chain(warnings).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(of).collect()
    }
}

impl Known {
    /// Whether this is to be taken now.
    fn settles(&mut self, print: Option<u64>, step: &mut Step) -> bool {
        if print.is_some() && print == self.in_force.as_ref().and_then(|in_force| in_force.print) {
            self.seen = None;
            step.changed |= self.refused.take().is_some();
            return false;
        }
        if let Some(refused) = &self.refused
            && print == Some(refused.print)
        {
            self.seen = None;
            return refused.refusal.passes;
        }
        if self.seen.replace(print) == Some(print) {
            self.seen = None;
            return true;
        }
        step.unsettled = true;
        false
    }

    fn take(&mut self, name: &str, unit: &Unit, now: SystemTime) {
        let before = self.in_force.as_ref().filter(|in_force| in_force.print.is_some());
        match Entry::load(name, unit, before.map(|in_force| &*in_force.entry), now) {
            Ok((entry, warnings)) => {
                let print = Some(unit.fingerprint());
                self.in_force = Some(InForce { print, entry: Arc::new(entry), warnings });
                self.refused = None;
            }
            Err(refusal) => {
                if before.is_none() {
                    let entry = Arc::new(Entry::blocked(unit));
                    self.in_force = Some(InForce { print: None, entry, warnings: Vec::new() });
                }
                self.refused = Some(Refused { print: unit.fingerprint(), refusal });
            }
        }
    }

    fn effect(&self) -> Effect {
        match self.in_force.as_ref().and_then(|in_force| in_force.print) {
            Some(_) => Effect::EarlierServed,
            None => Effect::NotServed,
        }
    }
}

impl Fault {
    pub(super) fn problem(&self, name: &str, effect: Effect) -> Problem {
        let Self { file, what, remedy } = self.clone();
        Problem { name: name.to_owned(), file, what, remedy, effect }
    }
}
