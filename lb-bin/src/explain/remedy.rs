//! What would make a condition true.

use lb_core::http::explain::{Condition, EndpointExplanation, Test};
use lb_docker::metrics::SOURCE as DOCKER;

/// What to do about a condition that isn't met, if that is known.
pub(super) fn of(condition: &Condition, endpoint: &EndpointExplanation) -> Option<String> {
    if condition.met != Some(false) {
        return None;
    }
    let name = &endpoint.name;
    // What containers are told by labels others are told in the configuration.
    let remedy = match (condition.test, &*endpoint.source == DOCKER) {
        (Test::Understood | Test::Asks, true) => {
            "labels and variables are read as the container was created with: correct them and \
             create it anew, as docker compose up -d does"
                .to_owned()
        }
        (Test::Running, true) => format!(
            "docker ps -a shows it; docker start {name}, or unpause; docker logs {name} tells \
             why it has ended"
        ),
        (Test::Healthy, true) => format!(
            "docker inspect --format '{{{{json .State.Health}}}}' {name} shows what its health \
             check prints; with the label lb.ready=accept its first success isn't waited for"
        ),
        (Test::Reachable, true) => {
            format!("attach both to one network: docker network connect NETWORK {name}")
        }
        (Test::Staying, true) => {
            format!("nothing: it finishes what it has; docker start {name} once it has ended")
        }
        (Test::Undrained, _) => format!("lb-bin undrain {name}"),
        (Test::Weighted, true) => {
            "the label lb.weight is 0: create it anew with another one".to_owned()
        }
        (Test::Accepting, true) => "does it listen there, and on more than its own loopback? The \
                                    port is set by VIRTUAL_PORT or lb.port, what it speaks by \
                                    VIRTUAL_PROTO or lb.proto"
            .to_owned(),
        (Test::Accepting, false) => "does it listen there?".to_owned(),
        (Test::Answering, true) => {
            format!("nothing: it is tried again soon; docker logs {name} may tell what ails it")
        }
        (Test::Answering, false) => "nothing: it is tried again soon".to_owned(),
        _ => return None,
    };
    Some(remedy)
}
