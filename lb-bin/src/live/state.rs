use std::time::SystemTime;

use lb_core::http::Plane;
use lb_docker::Status;
use serde::Serialize;

use crate::report::Endpoints;

/// What is there, without what changes with each request.
#[derive(Serialize)]
pub(super) struct State {
    version: &'static str,
    /// When this process began, in seconds of Unix time.
    started: f64,
    #[serde(flatten)]
    endpoints: Endpoints,
}

impl State {
    pub(super) fn of(plane: &Plane, docker: Option<&Status>, started: SystemTime) -> Self {
        let started = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: started.as_secs_f64(),
            endpoints: Endpoints::of(plane, docker).without_figures(),
        }
    }
}
