//! What the journals of the apps tell of a load's requests.

use std::collections::HashMap;

use super::Report;
use crate::docker::Container;

/// What became of requests, by those who got them.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    /// Accepted more than once: whoever has read a body may have acted on it.
    pub(crate) twice: Vec<String>,
    /// Answered well, though nobody executed them.
    pub(crate) lost: Vec<String>,
    /// Accepted by somebody, though they failed.
    pub(crate) unanswered: Vec<String>,
}

/// How often something happened to each request.
type Times = HashMap<String, u32>;

/// Looks up the requests of a load in the journals of all containers that it can
/// have reached, running or not.
#[track_caller]
pub(crate) fn executions(report: &Report, containers: &[Container]) -> Executions {
    let (mut accepted, mut executed) = (Times::new(), Times::new());
    for container in containers {
        for line in container.docker(&["logs"]).lines() {
            match line.split_once(' ') {
                Some(("accepted", id)) => *accepted.entry(id.to_owned()).or_default() += 1,
                Some(("executed", id)) => *executed.entry(id.to_owned()).or_default() += 1,
                _ => {}
            }
        }
    }
    let those = |ids: &[String], times: &Times, which: fn(u32) -> bool| -> Vec<_> {
        let of = |id: &String| times.get(id).copied().unwrap_or_default();
        ids.iter().filter(|id| which(of(id))).cloned().collect()
    };
    let mut twice = those(&report.good, &accepted, |times| times > 1);
    twice.extend(those(&report.bad, &accepted, |times| times > 1));
    Executions {
        twice,
        lost: those(&report.good, &executed, |times| times == 0),
        unanswered: those(&report.bad, &accepted, |times| times > 0),
    }
}
