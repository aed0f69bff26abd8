//! Which of a container's addresses the balancer can reach.

use std::net::{IpAddr, Ipv4Addr};

use crate::container::{Attachment, Container, NetworkMode};

/// Where the balancer looks from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Vantage {
    /// The host itself, or a container in its network: every network is
    /// reachable.
    #[default]
    Host,
    /// A container on these networks.
    Networks {
        /// In the order of their names.
        networks: Vec<Attachment>,
        /// The gateway of the first that leads out of the engine: where the
        /// host is reached.
        gateway: Option<IpAddr>,
    },
}

impl Vantage {
    /// Of a balancer that runs in this container. `internal` says of a
    /// network's id whether nothing leads out of it.
    pub(crate) fn of(container: &Container, internal: impl Fn(&str) -> bool) -> Self {
        if container.mode == NetworkMode::Host {
            return Self::Host;
        }
        let networks = container.networks.clone();
        let gateway = networks
            .iter()
            .filter(|network| !internal(&network.id))
            .find_map(|network| network.gateway);
        Self::Networks { networks, gateway }
    }

    /// The one address of a container, if it can be reached at all.
    pub(crate) fn address(&self, container: &Container) -> Option<IpAddr> {
        match (container.mode, self) {
            (NetworkMode::Host, Self::Host) => Some(Ipv4Addr::LOCALHOST.into()),
            (NetworkMode::Host, Self::Networks { gateway, .. }) => *gateway,
            (NetworkMode::Networks | NetworkMode::Other, _) => container
                .networks
                .iter()
                // Swarm's own network for published ports: no container is
                // reached on it.
                .filter(|network| network.name != "ingress" && self.is_on(network))
                .find_map(Attachment::address),
        }
    }

    fn is_on(&self, network: &Attachment) -> bool {
        match self {
            Self::Host => true,
            Self::Networks { networks, .. } => networks.iter().any(|own| {
                // Names need not be unique; ids are missing while the engine
                // is still connecting.
                if own.id.is_empty() || network.id.is_empty() {
                    own.name == network.name
                } else {
                    own.id == network.id
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::running;

    fn network(name: &str, ip: &str) -> Attachment {
        let ip: IpAddr = ip.parse().unwrap();
        Attachment {
            name: name.into(),
            id: format!("{name}-id"),
            ipv4: if let IpAddr::V4(ip) = ip { Some(ip) } else { None },
            ipv6: if let IpAddr::V6(ip) = ip { Some(ip) } else { None },
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        }
    }

    fn on(networks: &[(&str, &str)]) -> Container {
        let mut container = running("a", &[]);
        container.networks = networks.iter().map(|(name, ip)| network(name, ip)).collect();
        container
    }

    fn address(vantage: &Vantage, container: &Container) -> Option<String> {
        vantage.address(container).map(|ip| ip.to_string())
    }

    #[test]
    fn from_the_host_the_first_network_counts() {
        let container = on(&[("ingress", "10.0.0.9"), ("one", "10.1.0.2"), ("two", "10.2.0.2")]);
        assert_eq!(address(&Vantage::Host, &container).unwrap(), "10.1.0.2");
        assert_eq!(address(&Vantage::Host, &on(&[])), None);
        assert_eq!(address(&Vantage::Host, &on(&[("v6", "fd00::2")])).unwrap(), "fd00::2");
    }

    #[test]
    fn from_a_container_only_shared_networks_count() {
        let own = on(&[("two", "10.2.0.9")]);
        let vantage = Vantage::of(&own, |_| false);
        let container = on(&[("one", "10.1.0.2"), ("two", "10.2.0.2")]);
        assert_eq!(address(&vantage, &container).unwrap(), "10.2.0.2");
        assert_eq!(address(&vantage, &on(&[("one", "10.1.0.2")])), None);
    }

    #[test]
    fn two_networks_of_one_name_are_told_apart() {
        let vantage = Vantage::of(&on(&[("app", "10.2.0.9")]), |_| false);
        let mut container = on(&[("app", "10.3.0.2")]);
        container.networks[0].id = "another".into();
        assert_eq!(address(&vantage, &container), None);
    }

    #[test]
    fn a_container_in_the_hosts_network() {
        let mut host = on(&[]);
        host.mode = NetworkMode::Host;
        assert_eq!(address(&Vantage::Host, &host).unwrap(), "127.0.0.1");
        assert_eq!(Vantage::of(&host, |_| false), Vantage::Host);

        let mut own = on(&[("inner", "10.1.0.9"), ("outer", "10.2.0.9")]);
        own.networks[1].gateway = Some(Ipv4Addr::new(10, 2, 0, 1).into());
        let vantage = Vantage::of(&own, |id| id == "inner-id");
        assert_eq!(address(&vantage, &host).unwrap(), "10.2.0.1");
        let vantage = Vantage::of(&own, |_| true);
        assert_eq!(address(&vantage, &host), None);
    }

    #[test]
    fn a_container_without_a_network() {
        let mut none = on(&[]);
        none.mode = NetworkMode::Other;
        assert_eq!(address(&Vantage::Host, &none), None);
    }
}
