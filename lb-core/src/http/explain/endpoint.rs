use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::shares::{Basis, Shares};
use crate::{
    balance::Algorithm,
    endpoint::{EndpointId, Obstacle, State},
    http::{
        EndpointReport, Plane,
        findings::Speaker,
        plane::report,
        table::{Service, Table},
    },
    registry::{self, PlannedEndpoint, Problem, Unrouted},
};

/// Why an endpoint gets requests, or none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointExplanation {
    /// Who it is.
    pub id: EndpointId,
    /// What people call it.
    pub name: Arc<str>,
    /// The source that knows it.
    pub source: Arc<str>,
    /// Since when that source, and operators, say of it what they say.
    pub since: SystemTime,
    /// What it takes to be used in any service.
    pub conditions: Vec<Condition>,
    /// Settings of it that can't be used; they keep it out if it has no roles.
    pub problems: Vec<Problem>,
    /// The services that include it, in the order of their names; none if it isn't
    /// routed.
    pub roles: Vec<Role>,
}

/// An endpoint in one service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Role {
    /// The service.
    pub service: Arc<str>,
    /// How that picks.
    pub algorithm: Algorithm,
    /// The endpoint there, as it is now.
    pub report: EndpointReport,
    /// What else it takes to be used there.
    pub conditions: Vec<Condition>,
    /// The part of the service's requests that it is given as things are, from 0 to 1.
    pub share: f64,
    /// What that part is reckoned by.
    pub basis: Basis,
}

/// One of the things it takes for an endpoint to get requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Condition {
    /// What is asked.
    pub test: Test,
    /// Whether it is so; `None` where that isn't known, as something before it isn't.
    pub met: Option<bool>,
    /// What there is to say of it.
    pub note: Option<String>,
}

/// What is asked of an endpoint before it gets requests, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Test {
    /// Its settings can be used.
    Understood,
    /// It asks for a host.
    Asks,
    /// It runs.
    Running,
    /// It is healthy by its own word, or gives none.
    Healthy,
    /// It has an address that can be reached from here.
    Reachable,
    /// It was not told to stop.
    Staying,
    /// No operator has drained it.
    Undrained,
    /// Its weight is not 0.
    Weighted,
    /// It accepts connections.
    Accepting,
    /// It answers, and fails no more than others do.
    Answering,
}

impl Test {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Understood => "understood",
            Self::Asks => "asks_for_a_host",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Reachable => "reachable",
            Self::Staying => "staying",
            Self::Undrained => "undrained",
            Self::Weighted => "weighted",
            Self::Accepting => "accepting",
            Self::Answering => "answering",
        }
    }
}

impl EndpointExplanation {
    /// Whether it gets requests of every service it asks to be in.
    pub fn is_used(&self) -> bool {
        !self.roles.is_empty() && self.roles.iter().all(|role| role.share > 0.0)
    }
}

impl Plane {
    /// Explains the endpoints that are meant by `who`: by their name, their identity, or
    /// the beginning of a hexadecimal one, as [`Controls::drain`] takes it; those that
    /// aren't routed, too.
    ///
    /// # Errors
    ///
    /// Nobody is meant for sure: the names of those that may have been.
    ///
    /// [`Controls::drain`]: crate::http::Controls::drain
    pub fn explain_endpoint(&self, who: &str) -> Result<Vec<EndpointExplanation>, Vec<Arc<str>>> {
        let table = self.0.table.load();
        let mut known: BTreeMap<&EndpointId, Found<'_>> = BTreeMap::new();
        for service in &table.services {
            for planned in &service.plan.endpoints {
                let found = known.entry(&planned.id).or_default();
                found.roles.push((service, planned));
            }
        }
        for unrouted in &table.unrouted {
            known.entry(&unrouted.id).or_default().unrouted.push(unrouted);
        }
        let named = known.iter().filter_map(|(&id, found)| Some((id, found.name()?, found)));
        let found = registry::meant(who, named)?;
        Ok(found.into_iter().flat_map(|found| found.explain(&table)).collect())
    }
}

/// What there is of one identity.
#[derive(Default)]
struct Found<'a> {
    roles: Vec<(&'a Arc<Service>, &'a PlannedEndpoint)>,
    unrouted: Vec<&'a Unrouted>,
}

impl Found<'_> {
    fn name(&self) -> Option<&Arc<str>> {
        let routed = self.roles.first().map(|(_, planned)| &planned.name);
        routed.or_else(|| self.unrouted.first().map(|unrouted| &unrouted.name))
    }

    fn explain(&self, table: &Table) -> Vec<EndpointExplanation> {
        let since = |id| table.since.get(id).copied().unwrap_or(SystemTime::UNIX_EPOCH);
        let routed = self.roles.first().map(|(_, planned)| EndpointExplanation {
            id: planned.id.clone(),
            name: Arc::clone(&planned.name),
            source: Arc::clone(&planned.source),
            since: since(&planned.id),
            conditions: routed(planned),
            problems: planned.problems.clone(),
            roles: self.roles.iter().map(|(service, one)| role(table, service, one)).collect(),
        });
        let unrouted = self.unrouted.iter().map(|one| EndpointExplanation {
            id: one.id.clone(),
            name: Arc::clone(&one.name),
            source: Arc::clone(&one.source),
            since: since(&one.id),
            conditions: unrouted(one),
            problems: one.problems.clone(),
            roles: Vec::new(),
        });
        routed.into_iter().chain(unrouted).collect()
    }
}

fn condition(test: Test, met: impl Into<Option<bool>>) -> Condition {
    Condition { test, met: met.into(), note: None }
}

fn unmet(test: Test, note: impl Into<String>) -> Condition {
    Condition { test, met: Some(false), note: Some(note.into()) }
}

/// Of one that no service includes.
fn unrouted(unrouted: &Unrouted) -> Vec<Condition> {
    let problems: Vec<_> = unrouted.problems.iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        return vec![unmet(Test::Understood, problems.join("; ")), condition(Test::Asks, None)];
    }
    let why = match &unrouted.state {
        State::Down(reason) => reason.to_string(),
        State::Active | State::Draining => "names no host".to_owned(),
    };
    vec![condition(Test::Understood, true), unmet(Test::Asks, why)]
}

/// What holds for it in all services.
fn routed(planned: &PlannedEndpoint) -> Vec<Condition> {
    let ignored: Vec<_> = planned.problems.iter().map(ToString::to_string).collect();
    let understood = Condition {
        note: (!ignored.is_empty()).then(|| format!("but for {}", ignored.join("; "))),
        ..condition(Test::Understood, true)
    };
    let mut conditions = vec![understood, condition(Test::Asks, true)];
    let has_address = planned.address.is_some();
    match &planned.state {
        State::Active | State::Draining => conditions.extend([
            condition(Test::Running, true),
            condition(Test::Healthy, true),
            condition(Test::Reachable, has_address),
        ]),
        State::Down(reason) => conditions.extend(match reason.obstacle() {
            Obstacle::NotRunning | Obstacle::Other => [
                unmet(Test::Running, reason.as_str()),
                condition(Test::Healthy, None),
                condition(Test::Reachable, None),
            ],
            Obstacle::Unhealthy => [
                condition(Test::Running, true),
                unmet(Test::Healthy, reason.as_str()),
                condition(Test::Reachable, has_address),
            ],
            Obstacle::Unreachable => [
                condition(Test::Running, true),
                condition(Test::Healthy, true),
                unmet(Test::Reachable, reason.as_str()),
            ],
        }),
    }
    let staying = match planned.state {
        State::Active => Some(true),
        State::Draining => Some(false),
        State::Down(_) => None,
    };
    conditions.extend([
        condition(Test::Staying, staying),
        condition(Test::Undrained, !planned.drained),
        condition(Test::Weighted, planned.weight > 0),
    ]);
    conditions
}

fn role(table: &Table, service: &Service, planned: &PlannedEndpoint) -> Role {
    let shares = Shares::of(service);
    let place = service.place(planned);
    let member = place.map(|place| &service.cluster.members()[place]);
    let conditions = match member.filter(|_| planned.is_wanted()) {
        None => vec![condition(Test::Accepting, None), condition(Test::Answering, None)],
        Some(member) => {
            let (load, upstream) = (&member.load, &member.endpoint.target.upstream);
            let says = |speaker| upstream.findings.trouble(speaker);
            let accepting = Condition {
                note: says(Speaker::Probe),
                ..condition(Test::Accepting, load.is_wanted())
            };
            let left_alone = says(Speaker::Silence).or_else(|| says(Speaker::Monitor));
            let answering = if upstream.is_on_trial() {
                unmet(Test::Answering, "it hung, and is tried with one request at a time")
            } else if load.is_ready() {
                condition(Test::Answering, true)
            } else {
                let met = left_alone.is_some().then_some(false);
                Condition { note: left_alone, ..condition(Test::Answering, met) }
            };
            vec![accepting, answering]
        }
    };
    Role {
        service: Arc::clone(&service.name),
        algorithm: service.algorithm,
        report: report(table, service, planned),
        conditions,
        share: place.map_or(0.0, |place| shares.parts[place]),
        basis: shares.basis,
    }
}
