//! Servers that are always there.

use std::{collections::HashMap, fmt};

use lb_core::{
    balance::Algorithm,
    registry::{HostPattern, Protocol, ProxyProtocol, ServerName, Verification},
};

use super::{
    CATCH_ALL,
    parse::{endpoints, from_str, host},
    setting::{Invalid, Origins, Setting},
};
use crate::file::File;

/// Servers that are always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// Where they were named: `--upstream`, or the path of a file.
    pub(crate) source: String,
    pub(crate) host: HostPattern,
    pub(crate) endpoints: Vec<HostAndPort>,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) protocol: Protocol,
    pub(crate) verification: Option<Verification>,
    pub(crate) server_name: Option<ServerName>,
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
}

/// Where a server is: an address, or a name that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostAndPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

pub(super) fn services(
    typed: &[String],
    from: &Origins<'_>,
    file: &File,
) -> Result<Vec<Service>, Invalid> {
    let mut services: Vec<Service> = Vec::new();
    for given in typed.iter().filter(|given| !given.trim().is_empty()) {
        let setting = Setting { key: from.key("upstream"), value: given.clone() };
        let (name, list) = given.split_once('=').unwrap_or((CATCH_ALL, given));
        let host = setting.parse(|_| host(name.trim()))?;
        let endpoints = setting.parse(|_| endpoints(list.split(',')))?;
        let key = &setting.key;
        match services.iter_mut().find(|service| service.host == host) {
            // Given twice, it is one service with all of them.
            Some(service) => service.endpoints.extend(endpoints),
            None => {
                services.push(Service {
                    source: key.clone(),
                    host,
                    endpoints,
                    algorithm: None,
                    protocol: Protocol::default(),
                    verification: None,
                    server_name: None,
                    proxy_protocol: None,
                });
            }
        }
    }
    let mut seen = HashMap::new();
    for (at, service) in file.service.iter().enumerate() {
        let setting = |key: &str, value: &str| Setting {
            key: format!("{key} of service {} in {}", at + 1, from.file),
            value: value.to_owned(),
        };
        let named = setting("host", &service.host);
        let pattern = named.parse(host)?;
        if let Some(first) = seen.insert(pattern.clone(), at + 1) {
            return named.parse(|_| {
                Err(format!("service {first} has the same host; list all endpoints in one of them"))
            });
        }
        let list = setting("endpoints", &service.endpoints.join(","));
        let asked = service.algorithm.as_ref().map(|name| setting("algorithm", name));
        let spoken = service.protocol.as_ref().map(|name| setting("protocol", name));
        let verify = service.tls_verify.as_ref().map(|name| setting("tls_verify", name));
        let name = service.tls_name.as_ref().map(|name| setting("tls_name", name));
        let header = service.proxy_protocol.as_ref().map(|name| setting("proxy_protocol", name));
        services.push(Service {
            source: from.file.to_owned(),
            host: pattern,
            endpoints: list.parse(|_| endpoints(service.endpoints.iter().map(String::as_str)))?,
            algorithm: asked.map(|asked| asked.parse(from_str)).transpose()?,
            protocol: spoken.map_or(Ok(Protocol::default()), |spoken| spoken.parse(from_str))?,
            verification: verify.map(|verify| verify.parse(from_str)).transpose()?,
            server_name: name.map(|name| name.parse(from_str)).transpose()?,
            proxy_protocol: header.map(|header| header.parse(from_str)).transpose()?,
        });
    }
    Ok(services)
}
