use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::SystemTime,
};

use super::{
    proxy::Shared,
    table::{Service, Table, Target},
    tap::Watch,
};
use crate::{
    balance::{Algorithm, Member},
    endpoint::{EndpointId, State},
    registry::{Https, PlannedEndpoint, Unrouted},
};

/// What a [`Proxy`](super::Proxy) knows at this moment: read it to report, to
/// explain, and to measure. Reading disturbs nobody.
#[derive(Clone)]
pub struct Plane(pub(super) Arc<Shared>);

/// One service, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name: the host pattern it answers for.
    pub name: Arc<str>,
    /// How it picks.
    pub algorithm: Algorithm,
    /// Requests that wait for one of its endpoints to become ready.
    pub waiting: usize,
    /// Its endpoints.
    pub endpoints: Vec<EndpointReport>,
}

/// One endpoint of a service, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointReport {
    /// Who it is.
    pub id: EndpointId,
    /// What people call it.
    pub name: Arc<str>,
    /// The source that knows it.
    pub source: Arc<str>,
    /// Where it listens, if it can be reached.
    pub address: Option<SocketAddr>,
    /// Its share of requests.
    pub weight: u32,
    /// Whether it gets requests.
    pub standing: Standing,
    /// Since when that is so, for these reasons or others.
    pub since: SystemTime,
    /// Whether it gets no new requests because somebody has said so.
    pub drained: bool,
    /// Why not, and what else is wrong with it.
    pub reasons: Vec<String>,
    /// Requests sent to it and not yet finished.
    pub in_flight: usize,
}

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gets its share.
    Ready,
    /// Its source wants it used; it does not accept connections at the moment.
    Connecting,
    /// It hangs, or fails more than the others do: it is left alone for a while.
    Ejected,
    /// It gets no new requests and finishes those it has.
    Draining,
    /// Its source says that it can't serve now.
    Down,
}

impl Standing {
    /// Every name there is, in their order.
    pub const NAMES: [&str; 5] = ["ready", "connecting", "ejected", "draining", "down"];

    /// Its name in reports and labels.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl Plane {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Every service and its endpoints, in the order of their names.
    pub fn services(&self) -> Vec<ServiceReport> {
        let table = self.0.table.load();
        let report = |service: &Arc<Service>| ServiceReport {
            name: Arc::clone(&service.name),
            algorithm: service.algorithm,
            waiting: waiting(service),
            endpoints: service
                .plan
                .endpoints
                .iter()
                .map(|endpoint| report(&table, service, endpoint))
                .collect(),
        };
        table.services.iter().map(report).collect()
    }

    /// What each service asks for where HTTPS is concerned, by its name.
    pub fn https(&self) -> Vec<(Arc<str>, Https)> {
        let table = self.0.table.load();
        let asks = |service: &Arc<Service>| (Arc::clone(&service.name), service.plan.https.clone());
        table.services.iter().map(asks).collect()
    }

    /// Ends once every source has said who is there. Before that, hosts are
    /// unknown that will be known in a moment: a good time not to accept yet.
    pub async fn settled(&self) {
        // Fails only when the sender is gone, which we hold ourselves.
        let _ = self.0.settled.subscribe().wait_for(|&settled| settled).await;
    }

    /// What is known and not routed, and why.
    pub fn unrouted(&self) -> Vec<Unrouted> {
        self.0.table.load().unrouted.clone()
    }

    /// Has every request told as it ends, for as long as the watch is kept; nobody
    /// where somebody else watches already.
    pub fn watch(&self) -> Option<Watch> {
        self.0.tap.watch()
    }

    /// Sets what is only looked at now, gauges for the most part. Call it before metrics
    /// are read.
    pub fn observe(&self) {
        let table = self.0.table.load();
        for service in &table.services {
            let mut numbers = [0; 5];
            for endpoint in &service.plan.endpoints {
                numbers[report(&table, service, endpoint).standing as usize] += 1;
            }
            let metrics = &service.shared.metrics;
            metrics.endpoints(numbers);
            metrics.waiting.set(waiting(service) as f64);
        }
        observe(table.services.iter().flat_map(|service| service.cluster.members()));
        let quarantined = table.unrouted.iter().filter(|unrouted| !unrouted.problems.is_empty());
        self.0.metrics.quarantined.set(quarantined.count() as f64);
    }
}

/// Sets the gauges of these endpoints. One endpoint may be several upstreams, and one
/// upstream be in several services.
fn observe<'a>(members: impl Iterator<Item = &'a Member<Target>>) {
    let mut seen = HashSet::new();
    let mut sums = HashMap::new();
    for Member { endpoint, .. } in members {
        let upstream = &endpoint.target.upstream;
        if seen.insert(Arc::as_ptr(upstream)) {
            let (_, in_flight, idle) = sums.entry(&upstream.name).or_insert((upstream, 0, 0));
            *in_flight += upstream.load.in_flight();
            *idle += upstream.idle();
            upstream.metrics.reused.increment(upstream.reused());
        }
    }
    for (upstream, in_flight, idle) in sums.into_values() {
        upstream.metrics.in_flight.set(in_flight as f64);
        upstream.metrics.idle.set(idle as f64);
    }
}

fn waiting(service: &Service) -> usize {
    service.shared.room.waiting()
}

pub(super) fn report(
    table: &Table,
    service: &Service,
    endpoint: &PlannedEndpoint,
) -> EndpointReport {
    let member = service.member(endpoint);
    let mut reasons = Vec::new();
    let standing = match &endpoint.state {
        State::Down(reason) => {
            reasons.push(reason.to_string());
            Standing::Down
        }
        State::Draining => {
            reasons.push("is about to stop".to_owned());
            Standing::Draining
        }
        State::Active if endpoint.drained => {
            reasons.push("is drained by command".to_owned());
            Standing::Draining
        }
        State::Active if endpoint.weight == 0 => {
            reasons.push("has weight 0".to_owned());
            Standing::Draining
        }
        State::Active => match member {
            Some(member) if member.endpoint.target.upstream.is_on_trial() => {
                reasons.push("is tried with one request at a time: it did not answer".to_owned());
                Standing::Ejected
            }
            Some(member) if member.load.is_ready() => Standing::Ready,
            Some(member) => {
                reasons.extend(member.endpoint.target.upstream.findings.troubles());
                if member.load.is_wanted() { Standing::Ejected } else { Standing::Connecting }
            }
            None => {
                reasons.push("has no address".to_owned());
                Standing::Down
            }
        },
    };
    reasons.extend(endpoint.problems.iter().map(ToString::to_string));
    let said = table.since.get(&endpoint.id).copied().unwrap_or(SystemTime::UNIX_EPOCH);
    let found = member.map(|member| member.endpoint.target.upstream.findings.since());
    EndpointReport {
        id: endpoint.id.clone(),
        name: Arc::clone(&endpoint.name),
        source: Arc::clone(&endpoint.source),
        address: endpoint.address,
        weight: endpoint.weight,
        standing,
        since: if endpoint.is_wanted() {
            found.map_or(said, |found| found.max(said))
        } else {
            said
        },
        drained: endpoint.drained,
        reasons,
        in_flight: member.map_or(0, |member| member.load.in_flight()),
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plane").finish_non_exhaustive()
    }
}
