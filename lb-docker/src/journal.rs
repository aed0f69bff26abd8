//! What is said of the containers in the log: each change once.

use std::{collections::HashMap, sync::Arc};

use lb_core::{
    discovery::Change,
    endpoint::{Endpoint, EndpointId, State},
    registry::{Problem, Registration},
};
use tracing::{debug, info, warn};

/// Remembers what it has said.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    said: HashMap<EndpointId, Said>,
}

#[derive(Debug)]
struct Said {
    name: Arc<str>,
    state: State,
    problems: Vec<Problem>,
    hosts: String,
}

impl Journal {
    pub(crate) fn record(&mut self, change: &Change<Registration>) {
        match change {
            Change::Reset(all) => {
                let mut before = std::mem::take(&mut self.said);
                for (id, endpoint) in all {
                    let was = before.remove(id);
                    self.changed(id, endpoint, was);
                }
                before.iter().for_each(|(id, said)| gone(id, said));
            }
            Change::Upsert(id, endpoint) => {
                let was = self.said.remove(id);
                self.changed(id, endpoint, was);
            }
            Change::Remove(id) => {
                if let Some(said) = self.said.remove(id) {
                    gone(id, &said);
                }
            }
        }
    }

    fn changed(&mut self, id: &EndpointId, endpoint: &Endpoint<Registration>, was: Option<Said>) {
        let Registration { name, bindings, problems, .. } = &endpoint.target;
        let hosts: Vec<_> = bindings.iter().map(|binding| binding.host.to_string()).collect();
        let said = Said {
            name: Arc::clone(name),
            state: endpoint.state.clone(),
            problems: problems.clone(),
            hosts: hosts.join(","),
        };
        let old = was.as_ref().map_or(&[][..], |was| &was.problems);
        for problem in problems.iter().filter(|problem| !old.contains(problem)) {
            let Problem { key, value, remedy } = problem;
            warn!(container = %name, key, value, remedy, "setting not used");
        }
        if was.is_none_or(|was| was.state != said.state || was.hosts != said.hosts) {
            let (id, hosts) = (short(id), &said.hosts);
            match &said.state {
                _ if bindings.is_empty() => debug!(container = %name, id, "container not routed"),
                State::Active => info!(container = %name, id, hosts, "container in use"),
                State::Draining => info!(container = %name, id, hosts, "container leaves"),
                State::Down(reason) => {
                    info!(container = %name, id, hosts, %reason, "container not in use");
                }
            }
        }
        self.said.insert(id.clone(), said);
    }
}

fn gone(id: &EndpointId, said: &Said) {
    let (id, name, hosts) = (short(id), &said.name, &said.hosts);
    if hosts.is_empty() {
        debug!(container = %name, id, "container gone");
    } else {
        info!(container = %name, id, hosts, "container gone");
    }
}

/// As `docker ps` shows it.
fn short(id: &EndpointId) -> &str {
    id.as_str().get(..12).unwrap_or(id.as_str())
}
