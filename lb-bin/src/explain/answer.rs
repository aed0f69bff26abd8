//! The answer as JSON: made by the balancer, read by the command.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use lb_core::{
    endpoint::EndpointId,
    http::{
        EndpointReport, Refusal,
        explain::{
            self, EndpointExplanation, HttpsExplanation, RequestExplanation, Role,
            RouteExplanation, Test,
        },
    },
};
use lb_docker::metrics::SOURCE as DOCKER;
use serde::{Deserialize, Serialize};

use super::{Question, remedy};

/// What becomes of a container, of a request, or of both where one is called as the other
/// is.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Explanation {
    /// What was asked for.
    pub(crate) of: String,
    /// Whether all of it would be served.
    pub(crate) served: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) containers: Vec<Container>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Request>,
    /// Containers that may have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) candidates: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) source: String,
    /// Whether it gets requests of every service it is in.
    pub(crate) served: bool,
    /// When what is said of it changed last, and how long ago that is.
    pub(crate) since: String,
    pub(crate) seconds: u64,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) services: Vec<Service>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Condition {
    pub(crate) test: String,
    /// Nothing, where what comes before it isn't met.
    pub(crate) met: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// What would make it true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// A container in one service.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) algorithm: String,
    pub(crate) basis: String,
    pub(crate) conditions: Vec<Condition>,
    #[serde(flatten)]
    pub(crate) endpoint: EndpointShare,
}

/// One endpoint of a service, and its part of the requests.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct EndpointShare {
    pub(crate) endpoint: String,
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) since: String,
    pub(crate) seconds: u64,
    pub(crate) reasons: Vec<String>,
    pub(crate) address: Option<String>,
    pub(crate) weight: u32,
    pub(crate) in_flight: usize,
    /// From 0 to 1.
    pub(crate) share: f64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) scheme: String,
    pub(crate) served: bool,
    /// Why it is refused before any endpoint is asked, and by which status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Route>,
    pub(crate) http: Way,
    /// Nothing, where there is no HTTPS.
    pub(crate) https: Option<Https>,
    /// Whether what the client says in X-Forwarded-* counts; nothing, if that depends on
    /// who it is.
    pub(crate) believed: Option<bool>,
    /// Who the client is taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) speaks_for: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) near: Vec<Near>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Route {
    pub(crate) service: String,
    /// `exact`, `wildcard` or `default`.
    pub(crate) found_by: String,
    pub(crate) algorithm: String,
    pub(crate) hashes: bool,
    pub(crate) key: Option<String>,
    pub(crate) goes: Goes,
    pub(crate) basis: String,
    pub(crate) waiting: usize,
    pub(crate) endpoints: Vec<EndpointShare>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goes {
    To { endpoint: String, id: String, tried: Option<String> },
    OneOf,
    Waits { seconds: f64 },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    Serve,
    Redirect { status: u16, location: String },
    Refuse { status: u16, reason: String },
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Https {
    pub(crate) certificate: Option<String>,
    pub(crate) demands_certificate: bool,
    pub(crate) serves: bool,
}

/// What may be meant by a host that nothing names.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Near {
    pub(crate) name: String,
    /// `similar`, `quarantined` or `unasked`.
    pub(crate) nearness: String,
    pub(crate) why: String,
}

impl Explanation {
    pub(super) fn new(
        question: &Question,
        containers: &[EndpointExplanation],
        candidates: &[Arc<str>],
        request: Option<&RequestExplanation>,
    ) -> Self {
        let now = SystemTime::now();
        let served = containers.iter().all(EndpointExplanation::is_used)
            && request.is_none_or(RequestExplanation::is_served);
        Self {
            of: question.of.trim().to_owned(),
            served,
            containers: containers.iter().map(|one| Container::new(one, now)).collect(),
            request: request.map(|request| Request::new(request, now)),
            candidates: candidates.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Container {
    fn new(of: &EndpointExplanation, now: SystemTime) -> Self {
        let condition = |condition: &explain::Condition| Condition {
            test: condition.test.name().to_owned(),
            met: condition.met,
            note: condition.note.clone(),
            remedy: remedy::of(condition, of),
        };
        let service = |role: &Role| Service {
            name: role.service.to_string(),
            algorithm: role.algorithm.name().to_owned(),
            basis: role.basis.name().to_owned(),
            conditions: role.conditions.iter().map(condition).collect(),
            endpoint: EndpointShare::new(&role.report, role.share, now),
        };
        Self {
            id: of.id.to_string(),
            name: of.name.to_string(),
            source: of.source.to_string(),
            served: of.is_used(),
            since: date(of.since),
            seconds: age(of.since, now),
            conditions: of.conditions.iter().filter(|it| is_known(it, of)).map(condition).collect(),
            services: of.roles.iter().map(service).collect(),
        }
    }
}

/// Whether anybody has said so: of servers that are configured nobody knows whether they
/// run.
fn is_known(condition: &explain::Condition, of: &EndpointExplanation) -> bool {
    let of_containers = [Test::Running, Test::Healthy, Test::Reachable, Test::Staying];
    *of.source == *DOCKER || condition.met != Some(true) || !of_containers.contains(&condition.test)
}

impl EndpointShare {
    fn new(report: &EndpointReport, share: f64, now: SystemTime) -> Self {
        Self {
            endpoint: report.name.to_string(),
            id: report.id.to_string(),
            state: report.standing.name().to_owned(),
            since: date(report.since),
            seconds: age(report.since, now),
            reasons: report.reasons.clone(),
            address: report.address.map(|address| address.to_string()),
            weight: report.weight,
            in_flight: report.in_flight,
            share,
        }
    }
}

impl Request {
    fn new(of: &RequestExplanation, now: SystemTime) -> Self {
        Self {
            host: of.host.clone(),
            scheme: if of.secure { "https" } else { "http" }.to_owned(),
            served: of.is_served(),
            refused: of.refused.map(|refusal| refusal.reason().to_owned()),
            status: of.refused.map(|refusal| refusal.status().as_u16()),
            route: of.route.as_ref().map(|route| Route::new(route, now)),
            http: Way::new(&of.http),
            https: of.https.as_ref().map(Https::new),
            believed: of.believed,
            speaks_for: of.speaks_for.map(|ip| ip.to_string()),
            near: of.near.iter().map(Near::new).collect(),
        }
    }
}

impl Route {
    fn new(of: &RouteExplanation, now: SystemTime) -> Self {
        let name = |id: &EndpointId| {
            let one = of.endpoints.iter().find(|one| one.report.id == *id);
            one.map_or_else(|| id.to_string(), |one| one.report.name.to_string())
        };
        let goes = match &of.goes {
            explain::Goes::To { id, tried } => {
                Goes::To { endpoint: name(id), id: id.to_string(), tried: tried.as_ref().map(name) }
            }
            explain::Goes::Waits(limit) => Goes::Waits { seconds: limit.as_secs_f64() },
            _ => Goes::OneOf,
        };
        let endpoints = of.endpoints.iter();
        Self {
            service: of.service.to_string(),
            found_by: of.found_by.name().to_owned(),
            algorithm: of.algorithm.name().to_owned(),
            hashes: of.algorithm.hashes(),
            key: of.key.clone(),
            goes,
            basis: of.basis.name().to_owned(),
            waiting: of.waiting,
            endpoints: endpoints.map(|it| EndpointShare::new(&it.report, it.share, now)).collect(),
        }
    }
}

impl Way {
    fn new(of: &explain::Way) -> Self {
        match of {
            explain::Way::Redirect { status, location } => {
                Self::Redirect { status: status.as_u16(), location: location.clone() }
            }
            explain::Way::Refuse(refusal) => Self::refuse(*refusal),
            _ => Self::Serve,
        }
    }

    fn refuse(refusal: Refusal) -> Self {
        Self::Refuse { status: refusal.status().as_u16(), reason: refusal.reason().to_owned() }
    }
}

impl Https {
    fn new(of: &HttpsExplanation) -> Self {
        Self {
            certificate: of.certificate.clone(),
            demands_certificate: of.demands_certificate,
            serves: of.serves,
        }
    }
}

impl Near {
    fn new(of: &explain::Near) -> Self {
        Self {
            name: of.name.to_string(),
            nearness: of.nearness.name().to_owned(),
            why: of.why.clone(),
        }
    }
}

fn date(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn age(at: SystemTime, now: SystemTime) -> u64 {
    now.duration_since(at).unwrap_or(Duration::ZERO).as_secs()
}
