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
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<usize>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<usize>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_since_contact: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    containers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspects: Option<u64>,
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

    /// Without what changes all the time.
    pub(crate) fn without_figures(mut self) -> Self {
        for service in &mut self.services {
            service.waiting = None;
            service.endpoints.iter_mut().for_each(|endpoint| endpoint.in_flight = None);
        }
        if let Some(docker) = &mut self.docker {
            (docker.seconds_since_contact, docker.inspects) = (None, None);
        }
        self
    }
}

impl Docker {
    pub(crate) fn of(status: &Status) -> Self {
        let report = status.report();
        let (engine, api) = report.version.map(|version| (version.engine, version.api)).unzip();
        Self {
            connected: report.connected,
            synced: report.synced,
            seconds_since_contact: Some(status.since_contact().as_secs_f64()),
            engine,
            api,
            containers: report.containers,
            inspects: Some(report.inspects),
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
            in_flight: Some(endpoint.in_flight),
        };
        Self {
            name: service.name.to_string(),
            algorithm: service.algorithm.name(),
            waiting: Some(service.waiting),
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
