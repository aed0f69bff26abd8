//! What is known of a container: the part of an inspection that discovery uses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::signal::Signal;

/// A container as an inspection shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: Arc<str>,
    /// Without the slash that the engine puts in front.
    pub(crate) name: Arc<str>,
    pub(crate) created: SystemTime,
    pub(crate) labels: BTreeMap<String, String>,
    /// `KEY=value`, as the engine has it.
    pub(crate) env: Vec<String>,
    pub(crate) run: Run,
    pub(crate) health: Health,
    /// The TCP ports it exposes, in order.
    pub(crate) exposed: Vec<u16>,
    /// Its networks, in the order of their names.
    pub(crate) networks: Vec<Attachment>,
    pub(crate) mode: NetworkMode,
    pub(crate) stop_signal: Option<Signal>,
    pub(crate) stop_timeout: Option<Duration>,
}

impl Container {
    /// The value of an environment variable. Where one is given twice, the
    /// later counts, as it does for the process.
    pub(crate) fn env(&self, key: &str) -> Option<&str> {
        let mut pairs = self.env.iter().rev().filter_map(|entry| entry.split_once('='));
        pairs.find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

/// Whether its process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Running,
    Paused,
    /// It ended and its restart policy will start it again.
    Restarting,
    /// It has ended, with this code, or has never started.
    Ended(Option<i64>),
}

/// What its own health check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has none.
    Unchecked,
    Starting,
    Healthy,
    /// With the first line of what the check printed, if that is known.
    Unhealthy(Option<Box<str>>),
}

impl Health {
    /// Whether both say the same, whatever the check printed.
    pub(crate) fn same(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Where its network comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkMode {
    /// Networks of the engine.
    Networks,
    /// The network of the host.
    Host,
    /// No network, or that of another container.
    Other,
}

/// One network that a container is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) gateway: Option<IpAddr>,
}

impl Attachment {
    /// Where it is reached on this network: by IPv4 where it can be.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.ipv4.map(IpAddr::V4).or(self.ipv6.map(IpAddr::V6))
    }
}

/// A container as the list shows it: enough to see that something was missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) id: Arc<str>,
    /// Empty where the list doesn't say.
    pub(crate) name: String,
    pub(crate) run: Run,
    /// `None` where the list doesn't say, as of one that is paused.
    pub(crate) health: Option<Health>,
    /// The networks it has an address on, in the order of their names.
    pub(crate) addresses: Vec<(String, IpAddr)>,
}

impl Summary {
    /// Whether an inspection that showed `container` is out of date.
    pub(crate) fn contradicts(&self, container: &Container) -> bool {
        let addresses = container
            .networks
            .iter()
            .filter_map(|network| Some((network.name.as_str(), network.address()?)));
        self.run != container.run
            || self.health.as_ref().is_some_and(|health| !health.same(&container.health))
            || (!self.name.is_empty() && *self.name != *container.name)
            || !addresses.eq(self.addresses.iter().map(|(name, ip)| (name.as_str(), *ip)))
    }
}

/// A running container for tests, on one network.
#[cfg(test)]
pub(crate) fn running(id: &str, env: &[&str]) -> Container {
    Container {
        id: id.into(),
        name: format!("name-{id}").into(),
        created: SystemTime::UNIX_EPOCH,
        labels: BTreeMap::new(),
        env: env.iter().map(|&entry| entry.to_owned()).collect(),
        run: Run::Running,
        health: Health::Unchecked,
        exposed: vec![],
        networks: vec![Attachment {
            name: "net".into(),
            id: "net-id".into(),
            ipv4: Some(Ipv4Addr::new(172, 18, 0, 2)),
            ipv6: None,
            gateway: Some(Ipv4Addr::new(172, 18, 0, 1).into()),
        }],
        mode: NetworkMode::Networks,
        stop_signal: None,
        stop_timeout: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_may_be_malformed() {
        let container = running("a", &["", "NOVALUE", "=x", "A=1", "A=b=c", "VIRTUAL_HOSTS=no"]);
        assert_eq!(container.env("A"), Some("b=c"));
        assert_eq!(container.env("NOVALUE"), None);
        assert_eq!(container.env("VIRTUAL_HOST"), None);
    }
}
