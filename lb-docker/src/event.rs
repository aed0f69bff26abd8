//! The engine's events, as far as they mean something to discovery.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use crate::{container::Health, signal::Signal};

/// One event, with the time at which it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    /// When it happened, by the engine's clock.
    pub(crate) stamped: Option<SystemTime>,
    pub(crate) what: What,
}

/// What has happened, and when by the engine's clock.
pub(crate) type Stamped = (What, Option<SystemTime>);

/// Whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The container of this id.
    Container(Arc<str>, Happened),
    /// The engine read its configuration again.
    Reload,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Start,
    /// A signal was sent to it; `None` if the engine doesn't say which.
    Kill(Option<Signal>),
    Die(Option<i64>),
    Oom,
    Pause,
    Unpause,
    Destroy,
    Health(Health),
    /// It was renamed, or its limits were changed.
    Change,
    /// It was attached to a network or taken off one.
    Network,
}

impl What {
    /// Reads the fields of an event; `None` for one that doesn't matter.
    pub(crate) fn read<'a>(
        kind: &str,
        action: &str,
        actor: &str,
        attribute: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<Self> {
        match (kind, action) {
            ("daemon", "reload") => Some(Self::Reload),
            ("network", "connect" | "disconnect") => {
                Some(Self::Container(attribute("container")?.into(), Happened::Network))
            }
            ("container", _) => {
                Some(Self::Container(actor.into(), Happened::read(action, attribute)?))
            }
            _ => None,
        }
    }

    /// The container it is about, if it is about one.
    pub(crate) fn container(&self) -> Option<&Arc<str>> {
        match self {
            Self::Container(id, _) => Some(id),
            Self::Reload => None,
        }
    }

    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Container(_, happened) => match happened {
                Happened::Start => "start",
                Happened::Kill(_) => "kill",
                Happened::Die(_) => "die",
                Happened::Oom => "oom",
                Happened::Pause => "pause",
                Happened::Unpause => "unpause",
                Happened::Destroy => "destroy",
                Happened::Health(_) => "health",
                Happened::Change => "change",
                Happened::Network => "network",
            },
        }
    }
}

impl Happened {
    fn read<'a>(action: &str, attribute: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        // The state of health is part of the action, after a colon.
        if let Some(health) = action.strip_prefix("health_status") {
            return match health.trim_start_matches([':', ' ']) {
                "healthy" => Some(Self::Health(Health::Healthy)),
                "unhealthy" => Some(Self::Health(Health::Unhealthy(None))),
                "starting" => Some(Self::Health(Health::Starting)),
                // Podman names it in an attribute, or not at all.
                _ => Some(Self::Change),
            };
        }
        Some(match action {
            "start" => Self::Start,
            "kill" => Self::Kill(attribute("signal").and_then(|signal| signal.parse().ok())),
            "die" => Self::Die(attribute("exitCode").and_then(|code| code.parse().ok())),
            "oom" => Self::Oom,
            "pause" => Self::Pause,
            "unpause" => Self::Unpause,
            // Podman's word is `remove`.
            "destroy" | "remove" => Self::Destroy,
            "rename" | "update" => Self::Change,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, action: &str, attributes: &[(&'static str, &'static str)]) -> Option<What> {
        What::read(kind, action, "actor", |key| {
            attributes.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
        })
    }

    #[test]
    fn reads_what_the_engine_writes() {
        let container = |happened| Some(What::Container("actor".into(), happened));
        for (action, attributes, happened) in [
            ("start", &[][..], Happened::Start),
            ("kill", &[("signal", "15")], Happened::Kill(Some(Signal(15)))),
            ("kill", &[], Happened::Kill(None)),
            ("die", &[("exitCode", "137")], Happened::Die(Some(137))),
            ("destroy", &[], Happened::Destroy),
            ("remove", &[], Happened::Destroy),
            ("rename", &[("oldName", "/a"), ("name", "b")], Happened::Change),
            ("health_status: healthy", &[], Happened::Health(Health::Healthy)),
            ("health_status: unhealthy", &[], Happened::Health(Health::Unhealthy(None))),
            ("health_status", &[], Happened::Change),
        ] {
            assert_eq!(read("container", action, attributes), container(happened), "{action}");
        }
        assert_eq!(read("container", "exec_start: /check", &[]), None);
        assert_eq!(read("daemon", "reload", &[]), Some(What::Reload));
        assert_eq!(read("image", "pull", &[]), None);
    }

    #[test]
    fn a_network_event_is_about_the_container() {
        let event = read("network", "connect", &[("container", "c")]);
        assert_eq!(event, Some(What::Container("c".into(), Happened::Network)));
        // A network that is connected to nothing.
        assert_eq!(read("network", "connect", &[]), None);
    }
}
