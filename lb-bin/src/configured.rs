//! Servers that are always there, as a source like any other.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::Context;
use lb_core::{
    Endpoint, EndpointId,
    registry::{Binding, Registration},
};

use crate::config::{HostAndPort, Service};

/// One of them. Its identity is what it is called, so it stays the same one when
/// the configuration is read again.
pub(crate) type Server = (EndpointId, Endpoint<Registration>);

/// Looks up the names, once, and registers every address found: one server, with
/// all the hosts it was given for.
pub(crate) async fn servers(services: &[Service]) -> anyhow::Result<Vec<Server>> {
    let mut servers: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    for service in services {
        for endpoint in &service.endpoints {
            for address in look_up(endpoint).await.with_context(|| {
                format!("{} of {} in {}", endpoint.host, service.host, service.source)
            })? {
                let mut binding = Binding::new(service.host.clone(), Some(address));
                binding.protocol = service.protocol;
                binding.verification = service.verification;
                binding.server_name.clone_from(&service.server_name);
                binding.proxy_protocol = service.proxy_protocol;
                binding.algorithm = service.algorithm;
                binding.https = service.https.clone();
                let bindings = servers.entry(name(endpoint, address)).or_default();
                if !bindings.contains(&binding) {
                    bindings.push(binding);
                }
            }
        }
    }
    let server = |(name, bindings): (String, _)| (name.clone().into(), always(name, bindings));
    Ok(servers.into_iter().map(server).collect())
}

/// The address, behind the name that it was looked up by.
fn name(HostAndPort { host, port }: &HostAndPort, address: SocketAddr) -> String {
    if host.parse() == Ok(address.ip()) {
        address.to_string()
    } else {
        format!("{host}:{port}@{}", address.ip())
    }
}

async fn look_up(endpoint: &HostAndPort) -> anyhow::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<_> = found
        .context("this name can't be looked up; write its address, or see that it resolves")?
        .collect();
    anyhow::ensure!(!addresses.is_empty(), "this name has no address");
    Ok(addresses)
}

/// A server that is always there.
pub(crate) fn always(name: impl Into<Arc<str>>, bindings: Vec<Binding>) -> Endpoint<Registration> {
    Endpoint::new(Registration {
        name: name.into(),
        // Older than any container: what the operator wrote is right.
        created: SystemTime::UNIX_EPOCH,
        bindings,
        problems: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use lb_core::registry::{Https, Protocol};

    use super::*;

    fn service(host: &str, port: u16) -> Service {
        Service {
            source: "--upstream".into(),
            host: "api.local".parse().unwrap(),
            endpoints: vec![HostAndPort { host: host.into(), port }],
            algorithm: None,
            protocol: Protocol::default(),
            verification: None,
            server_name: None,
            proxy_protocol: None,
            https: Https::default(),
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_shown_with_its_address() {
        let services = [service("127.0.0.1", 80), service("localhost", 81)];
        let all = servers(&services).await.unwrap();
        let names: Vec<_> = all.iter().map(|(_, endpoint)| &*endpoint.target.name).collect();
        assert!(names.contains(&"127.0.0.1:80"), "{names:?}");
        assert!(names.contains(&"localhost:81@127.0.0.1"), "{names:?}");
    }

    #[tokio::test]
    async fn a_server_of_two_hosts_is_one_endpoint() {
        let mut other = service("127.0.0.1", 80);
        other.host = "other.local".parse().unwrap();
        let all = servers(&[service("127.0.0.1", 80), other]).await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1.target.bindings.len(), 2);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_an_error_that_says_where() {
        let error = servers(&[service("nowhere.invalid", 80)]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with("nowhere.invalid of api.local in --upstream"), "{error}");
    }
}
