use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    endpoint::{EndpointId, State},
    registry::{Plan, PlannedEndpoint},
};

/// Tells in the log what plans change, and what is wrong with them: each thing
/// once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    endpoints: HashMap<EndpointId, (Arc<str>, State)>,
    warnings: HashSet<String>,
}

impl Journal {
    pub(super) fn record(&mut self, plan: &Plan) {
        self.warnings(plan);
        let planned = plan.services.iter().flat_map(|service| &service.endpoints);
        let now: HashMap<EndpointId, &PlannedEndpoint> =
            planned.map(|endpoint| (endpoint.id.clone(), endpoint)).collect();
        self.endpoints.retain(|id, (name, _)| {
            let stays = now.contains_key(id);
            if !stays {
                tracing::info!(endpoint = %name, "is gone");
            }
            stays
        });
        for (id, PlannedEndpoint { name, state, .. }) in now {
            let said = (Arc::clone(name), state.clone());
            let was = self.endpoints.insert(id, said);
            if was.is_some_and(|(_, was)| was == *state) {
                continue;
            }
            match state {
                // What matters is whether it answers; who probes it tells.
                State::Active => tracing::debug!(endpoint = %name, "is wanted"),
                State::Draining => tracing::info!(endpoint = %name, "drains: it is about to stop"),
                State::Down(reason) => tracing::info!(endpoint = %name, "is down: {reason}"),
            }
        }
    }

    fn warnings(&mut self, plan: &Plan) {
        let mut now = HashSet::new();
        for endpoint in plan.services.iter().flat_map(|service| &service.endpoints) {
            for problem in &endpoint.problems {
                now.insert(format!("{}: {problem}", endpoint.name));
            }
        }
        for unrouted in &plan.unrouted {
            for problem in &unrouted.problems {
                now.insert(format!("{} is not routed: {problem}", unrouted.name));
            }
        }
        now.extend(plan.conflicts.iter().map(ToString::to_string));
        for warning in now.difference(&self.warnings) {
            tracing::warn!("{warning}");
        }
        self.warnings = now;
    }
}
