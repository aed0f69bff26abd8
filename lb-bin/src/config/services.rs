//! Servers that are always there.

use std::{collections::HashMap, fmt, str::FromStr};

use lb_core::{
    balance::Algorithm,
    registry::{HostPattern, Https, Protocol, ProxyProtocol, ServerName, Verification},
};

use super::{
    CATCH_ALL,
    parse::{endpoints, from_str, host},
    setting::{Invalid, Origins, Setting},
};
use crate::file::{File, Service as Written};

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
    pub(crate) https: Https,
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
                    https: Https::default(),
                });
            }
        }
    }
    let mut seen = HashMap::new();
    for (at, service) in file.service.iter().enumerate() {
        let setting = &|key: &str, value: &str| Setting {
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
        services.push(Service {
            source: from.file.to_owned(),
            host: pattern,
            endpoints: list.parse(|_| endpoints(service.endpoints.iter().map(String::as_str)))?,
            algorithm: said(setting, "algorithm", &service.algorithm)?,
            protocol: said(setting, "protocol", &service.protocol)?.unwrap_or_default(),
            verification: said(setting, "upstream_verify", &service.upstream_verify)?,
            server_name: said(setting, "upstream_name", &service.upstream_name)?,
            proxy_protocol: said(setting, "proxy_protocol", &service.proxy_protocol)?,
            https: https(setting, service)?,
        });
    }
    Ok(services)
}

fn https(
    setting: impl Fn(&str, &str) -> Setting + Copy,
    service: &Written,
) -> Result<Https, Invalid> {
    let mut https = Https::default();
    https.method = said(setting, "https", &service.https)?;
    https.http_without_certificate = service.http_without_certificate;
    https.hsts = said(setting, "hsts", &service.hsts)?;
    https.certificate = service.certificate.as_deref().map(Into::into);
    https.acme = service.acme;
    https.policy = said(setting, "tls_policy", &service.tls_policy)?;
    https.client_certificates = said(setting, "client_certificates", &service.client_certificates)?;
    Ok(https)
}

fn said<T: FromStr<Err: fmt::Display>>(
    setting: impl Fn(&str, &str) -> Setting,
    key: &str,
    value: &Option<String>,
) -> Result<Option<T>, Invalid> {
    value.as_ref().map(|value| setting(key, value).parse(from_str)).transpose()
}
