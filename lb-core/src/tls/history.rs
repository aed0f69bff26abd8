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
            step.changed |= match unit {
                Some(unit) => known.take(&name, &unit, now),
                None => self.names.remove(&name).is_some_and(|known| known.in_force.is_some()),
            };
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

    /// Puts this in force, or refuses it; whether that is news.
    fn take(&mut self, name: &str, unit: &Unit, now: SystemTime) -> bool {
        let before = self.in_force.as_ref().filter(|in_force| in_force.print.is_some());
        match Entry::load(name, unit, before.map(|in_force| &*in_force.entry), now) {
            Ok((entry, warnings)) => {
                let print = Some(unit.fingerprint());
                self.in_force = Some(InForce { print, entry: Arc::new(entry), warnings });
                self.refused = None;
                true
            }
            Err(refusal) => {
                if before.is_none() {
                    let entry = Arc::new(Entry::blocked(unit));
                    self.in_force = Some(InForce { print: None, entry, warnings: Vec::new() });
                }
                let refused = Refused { print: unit.fingerprint(), refusal };
                let before = self.refused.replace(refused);
                before.is_none_or(|before| before.print != unit.fingerprint())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{
        directory::Found,
        entry::Authorities,
        testing::{found, response, unit, unix},
    };

    const NAME: &str = "example.com";

    /// A history, and what the folder holds.
    #[derive(Default)]
    struct Scene {
        history: History,
        now: u64,
    }

    impl Scene {
        /// With `unit` in force.
        fn with(unit: &Unit, now: u64) -> Self {
            let mut scene = Self { now, ..Self::default() };
            assert!(scene.read(Some(unit)).unsettled);
            assert!(scene.read(Some(unit)).changed);
            scene
        }

        fn read(&mut self, unit: Option<&Unit>) -> Step {
            let units = unit.map(|unit| (NAME.to_owned(), copy(unit)));
            self.history.read(units.into_iter().collect(), unix(self.now))
        }

        /// Reads until nothing is unsettled.
        fn settle(&mut self, unit: Option<&Unit>) {
            assert!(self.read(unit).unsettled);
            assert!(!self.read(unit).unsettled);
        }

        fn problems(&self) -> Vec<(String, Effect)> {
            let problems = self.history.problems();
            problems.into_iter().map(|problem| (problem.what, problem.effect)).collect()
        }

        fn expires(&self) -> Option<u64> {
            let entry = self.history.in_force().remove(NAME)?;
            let at = entry.pair.as_ref()?.facts.not_after;
            Some(at.duration_since(unix(0)).unwrap().as_secs())
        }
    }

    fn copy(unit: &Unit) -> Unit {
        let copy = |found: &Option<Found>| {
            let Found { path, content, everybody_reads } = found.as_ref()?;
            let (path, content) = (path.clone(), content.clone());
            Some(Found { path, content, everybody_reads: *everybody_reads })
        };
        Unit {
            certificate: copy(&unit.certificate),
            key: copy(&unit.key),
            authorities: copy(&unit.authorities),
            ocsp: copy(&unit.ocsp),
            doubles: unit.doubles.clone(),
        }
    }

    #[test]
    fn a_version_counts_once_two_reads_agree() {
        let (first, second, third) = (unit(0, 100), unit(0, 200), unit(0, 300));
        let mut scene = Scene::with(&first, 50);
        assert_eq!(scene.expires(), Some(100));
        let step = scene.read(Some(&first));
        assert!(!step.changed && !step.unsettled);
        for other in [&second, &third, &second] {
            let step = scene.read(Some(other));
            assert!(!step.changed && step.unsettled);
        }
        scene.history.interrupted();
        assert!(!scene.read(Some(&second)).changed, "it is the first again");
        assert!(!scene.read(Some(&first)).unsettled);
        assert!(!scene.read(Some(&second)).changed, "they were not in a row");
        assert!(scene.read(Some(&second)).changed);
        assert_eq!(scene.expires(), Some(200));

        assert!(scene.read(None).unsettled);
        assert_eq!(scene.expires(), Some(200));
        assert!(scene.read(None).changed);
        assert_eq!(scene.expires(), None);
        assert!(!scene.read(None).unsettled, "it is forgotten");
    }

    #[test]
    fn what_is_wrong_is_forgotten_when_it_is_right_again() {
        let good = unit(0, 100);
        let mut scene = Scene::with(&good, 50);
        let mut broken = copy(&good);
        broken.key = Some(found("example.com.key", "nothing"));
        scene.settle(Some(&broken));
        let expected = ("there is no private key in it".to_owned(), Effect::EarlierServed);
        assert_eq!(scene.problems(), [expected]);
        assert!(!scene.read(Some(&broken)).changed, "that is known");
        assert!(scene.read(Some(&good)).changed);
        assert_eq!((scene.problems(), scene.expires()), (vec![], Some(100)));
    }

    #[test]
    fn a_certificate_is_taken_when_its_time_comes() {
        let mut scene = Scene::with(&unit(0, 1000), 50);
        let next = unit(500, 2000);
        scene.settle(Some(&next));
        let expected = "isn't valid before 1970-01-01T00:08:20Z".to_owned();
        assert_eq!(scene.problems(), [(expected, Effect::EarlierServed)]);
        scene.now = 499;
        assert!(!scene.read(Some(&next)).changed, "that is known");
        assert_eq!(scene.expires(), Some(1000));
        scene.now = 500;
        assert!(scene.read(Some(&next)).changed);
        assert_eq!((scene.problems(), scene.expires()), (vec![], Some(2000)));
    }

    #[test]
    fn one_that_has_expired_stands_in_for_another_that_has() {
        let mut scene = Scene::with(&unit(0, 100), 50);
        let next = unit(0, 40);
        scene.settle(Some(&next));
        assert_eq!(scene.expires(), Some(100));
        scene.now = 101;
        assert!(scene.read(Some(&next)).changed);
        assert_eq!(scene.expires(), Some(40), "it is what the files say");
        assert!(scene.problems().is_empty(), "the time is told by the entry");
        let entry = &scene.history.in_force()[NAME];
        let untimely: Vec<_> = entry.untimely(unix(101)).map(|fault| fault.what).collect();
        assert_eq!(untimely, ["has expired, 1970-01-01T00:00:40Z"]);
    }

    #[test]
    fn clients_are_kept_out_while_authorities_never_could_be_read() {
        let mut broken = unit(0, 100);
        broken.authorities = Some(found("example.com.ca.crt", "nothing"));
        let scene = Scene::with(&broken, 50);
        let entry = &scene.history.in_force()[NAME];
        assert!(entry.pair.is_none());
        assert!(matches!(entry.authorities, Authorities::Unreadable));
        assert_eq!(scene.problems()[0].1, Effect::NotServed);
    }

    #[test]
    fn authorities_that_stay_keep_their_sessions() {
        let authorities = || Some(found("example.com.ca.crt", unit(0, 100).certificate()));
        let (mut first, mut second) = (unit(0, 100), unit(0, 200));
        first.authorities = authorities();
        second.authorities = copy(&first).authorities;
        let mut scene = Scene::with(&first, 50);
        let known = |scene: &Scene| match &scene.history.in_force()[NAME].authorities {
            Authorities::Known(authority) => authority.clone(),
            _ => panic!("no authorities"),
        };
        let before = known(&scene);
        scene.settle(Some(&second));
        assert_eq!(scene.expires(), Some(200));
        assert!(Arc::ptr_eq(&before, &known(&scene)));
        second.authorities = authorities();
        scene.settle(Some(&second));
        assert!(!Arc::ptr_eq(&before, &known(&scene)));
    }

    impl Unit {
        fn certificate(&self) -> Vec<u8> {
            self.certificate.as_ref().unwrap().content.clone().unwrap()
        }
    }

    #[test]
    fn a_response_is_stapled_while_it_is_good() {
        let mut stapled = unit(0, 1000);
        stapled.ocsp = Some(found("example.com.ocsp", response(&[Some(500)])));
        let mut scene = Scene::with(&stapled, 50);
        let entry = scene.history.in_force().remove(NAME).unwrap();
        let pair = entry.pair.as_ref().unwrap();
        assert_eq!(pair.key(unix(500)).ocsp, Some(response(&[Some(500)])));
        assert!(pair.is_stapled(unix(500)) && entry.untimely(unix(500)).next().is_none());
        assert_eq!(pair.key(unix(501)).ocsp, None);
        assert!(!pair.is_stapled(unix(501)));
        let late = entry.untimely(unix(501)).next().unwrap();
        assert_eq!(late.what, "has expired, 1970-01-01T00:08:20Z, and is left away");
        assert_eq!(late.file, std::path::Path::new("example.com.ocsp"));

        stapled.ocsp = Some(found("example.com.ocsp", response(&[None])));
        scene.settle(Some(&stapled));
        let entry = scene.history.in_force().remove(NAME).unwrap();
        assert!(entry.pair.as_ref().unwrap().is_stapled(unix(u64::from(u32::MAX))));

        stapled.ocsp = Some(found("example.com.ocsp", "<html>"));
        scene.settle(Some(&stapled));
        let (what, effect) = scene.problems().remove(0);
        assert!(what.starts_with("is no response of OCSP"), "{what}");
        assert_eq!((effect, scene.expires()), (Effect::ServedAnyway, Some(1000)));
    }
}
