//! What `/endpoints` and `/readyz` answer.

use lb_core::{
    endpoint::State,
    http::{Plane, ServiceReport},
    registry::{Problem, Unrouted},
};
use lb_docker::Status;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Endpoints {
    services: Vec<Service>,
    unrouted: Vec<Instance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    docker: Option<Docker>,
}

#[derive(Serialize)]
struct Service {
    name: String,
    algorithm: &'static str,
    waiting: usize,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Endpoint {
    id: String,
    name: String,
    source: String,
    address: Option<String>,
    weight: u32,
    state: &'static str,
    reasons: Vec<String>,
    in_flight: usize,
}

#[derive(Serialize)]
struct Instance {
    id: String,
    name: String,
    source: String,
    /// `quarantined`: it asks for something that can't be understood; `ignored`:
    /// it asks for nothing.
    state: &'static str,
    reasons: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Docker {
    pub(crate) connected: bool,
    pub(crate) synced: bool,
    seconds_since_contact: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    containers: usize,
    inspects: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) docker: Option<Docker>,
}

impl Endpoints {
    pub(crate) fn of(plane: &Plane, docker: Option<&Status>) -> Self {
        Self {
            services: plane.services().into_iter().map(Service::from).collect(),
            unrouted: plane.unrouted().into_iter().map(Instance::from).collect(),
            docker: docker.map(Docker::of),
        }
    }
}

impl Docker {
    pub(crate) fn of(status: &Status) -> Self {
        let report = status.report();
        let (engine, api) = report.version.map(|version| (version.engine, version.api)).unzip();
        Self {
            connected: report.connected,
            synced: report.synced,
            seconds_since_contact: status.since_contact().as_secs_f64(),
            engine,
            api,
            containers: report.containers,
            inspects: report.inspects,
            error: report.last_error,
        }
    }
}

impl From<ServiceReport> for Service {
    fn from(service: ServiceReport) -> Self {
        let endpoint = |endpoint: lb_core::http::EndpointReport| Endpoint {
            id: endpoint.id.to_string(),
            name: endpoint.name.to_string(),
            source: endpoint.source.to_string(),
            address: endpoint.address.map(|address| address.to_string()),
            weight: endpoint.weight,
            state: endpoint.standing.name(),
            reasons: endpoint.reasons,
            in_flight: endpoint.in_flight,
        };
        Self {
            name: service.name.to_string(),
            algorithm: service.algorithm.name(),
            waiting: service.waiting,
            endpoints: service.endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

impl From<Unrouted> for Instance {
    fn from(instance: Unrouted) -> Self {
        let mut reasons: Vec<_> = instance.problems.iter().map(Problem::to_string).collect();
        let state = if reasons.is_empty() { "ignored" } else { "quarantined" };
        if let State::Down(reason) = instance.state {
            reasons.push(reason.to_string());
        }
        Self {
            id: instance.id.to_string(),
            name: instance.name.to_string(),
            source: instance.source.to_string(),
            state,
            reasons,
        }
    }
}
