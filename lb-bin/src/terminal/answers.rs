//! What the admin listener answers, as far as commands show it. What isn't there, as
//! another version doesn't say it, is left out.

use serde::Deserialize;

/// Who is routed, and who isn't: `/endpoints`, and the state in the live feed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Endpoints {
    pub(crate) services: Vec<Service>,
    pub(crate) unrouted: Vec<Instance>,
    pub(crate) docker: Option<Docker>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) algorithm: String,
    pub(crate) waiting: usize,
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) address: Option<String>,
    pub(crate) weight: u32,
    pub(crate) state: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) in_flight: usize,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) source: String,
    /// `quarantined` or `ignored`.
    pub(crate) state: String,
    pub(crate) reasons: Vec<String>,
}

/// The state in the live feed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) version: String,
    /// When the balancer began, in seconds of Unix time.
    pub(crate) started: f64,
    #[serde(flatten)]
    pub(crate) endpoints: Endpoints,
}

/// The traffic in the live feed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Traffic {
    /// In seconds of Unix time.
    pub(crate) at: f64,
    /// The seconds that figures look back.
    pub(crate) window: f64,
    pub(crate) connections: usize,
    pub(crate) total: Figures,
    pub(crate) services: Vec<ServiceTraffic>,
    /// Of requests that no service is for.
    pub(crate) unrouted: Figures,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct ServiceTraffic {
    pub(crate) name: String,
    pub(crate) waiting: usize,
    pub(crate) total: Figures,
    /// Of what the balancer has answered itself.
    pub(crate) local: Figures,
    pub(crate) endpoints: Vec<EndpointTraffic>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct EndpointTraffic {
    pub(crate) name: String,
    pub(crate) in_flight: usize,
    pub(crate) total: Figures,
}

/// Requests and failures a second, and times in milliseconds if there were any.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) rate: f64,
    pub(crate) errors: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// What is known of the engine.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Docker {
    pub(crate) connected: bool,
    pub(crate) synced: bool,
    pub(crate) engine: Option<String>,
    pub(crate) containers: usize,
    pub(crate) error: Option<String>,
}

impl Docker {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self { connected, synced, containers, .. } = self;
        let engine = self.engine.as_deref().map(|it| format!(" {it}")).unwrap_or_default();
        let state = match (connected, synced) {
            (true, true) => "connected",
            (true, false) => "connected, the containers are not known yet",
            (false, true) => "NOT CONNECTED; what was known last is served",
            (false, false) => "NOT CONNECTED",
        };
        let containers = match containers {
            1 => "1 container".to_owned(),
            n => format!("{n} containers"),
        };
        let error = self.error.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
        format!("Docker{engine}: {containers}, {state}{error}")
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.connected && self.synced
    }
}
