//! What is served as of one moment, and the choice from it.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::{
    AuthorityReport, CertificateReport, ClientCertificates, Effect, Problem,
    directory::EVERY_HOST,
    entry::{Authorities, Entry},
    pair::Pair,
    scope::Scope,
};

/// The name of the certificate for hosts that have no other one.
const DEFAULT: &str = "default";

#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) synced: bool,
    pub(super) trust_default: bool,
    pub(super) entries: HashMap<String, Arc<Entry>>,
    pub(super) problems: Vec<Problem>,
}

/// The host's authorities can't be read, or there are none.
#[derive(Debug, PartialEq)]
pub(super) struct NoAuthorities;

impl Snapshot {
    /// The certificate for a host, in small letters, with the name it was found by:
    /// the one it asks for, and no other; else its own; else its domain's; else the
    /// default, trusted or not where `any_default` will do.
    pub(super) fn certificate(
        &self,
        host: Option<&str>,
        asked_for: Option<&str>,
        any_default: bool,
    ) -> Option<(&str, &Arc<Pair>)> {
        if let Some(name) = asked_for {
            return self.pair(&name.to_ascii_lowercase());
        }
        let own = host.filter(|host| *host != DEFAULT).and_then(|host| self.pair(host));
        let default = || self.pair(DEFAULT).filter(|_| any_default || self.trust_default);
        own.or_else(|| self.of_domain(host)).or_else(default)
    }

    fn pair(&self, name: &str) -> Option<(&str, &Arc<Pair>)> {
        let (name, entry) = self.entries.get_key_value(name)?;
        Some((name, entry.pair.as_ref()?))
    }

    /// One level up, unless that is the top.
    fn of_domain(&self, host: Option<&str>) -> Option<(&str, &Arc<Pair>)> {
        let (_, domain) = host?.split_once('.')?;
        if !domain.contains('.') {
            return None;
        }
        self.pair(&format!("*.{domain}")).or_else(|| self.pair(domain))
    }

    /// Whose sessions those of a host's clients are, as it demands certificates of
    /// them: by the authorities of the host's name, else of its certificate's
    /// name, else of all hosts. `None` if it demands none.
    pub(super) fn scope(
        &self,
        host: Option<&str>,
        certificate: Option<&str>,
        demand: Option<ClientCertificates>,
    ) -> Result<Option<Arc<Scope>>, NoAuthorities> {
        if demand == Some(ClientCertificates::Off) {
            return Ok(None);
        }
        let names = [host, certificate, Some(EVERY_HOST)];
        let found = names.into_iter().flatten().filter_map(|name| self.entries.get(name));
        let said = |entry: &&Arc<Entry>| !matches!(entry.authorities, Authorities::Unsaid);
        match found.into_iter().find(said).map(|entry| &entry.authorities) {
            Some(Authorities::Known(authority)) => Ok(Some(match demand {
                Some(ClientCertificates::Optional) => authority.optional.clone(),
                _ => authority.required.clone(),
            })),
            Some(_) => Err(NoAuthorities),
            None if demand.is_some() => Err(NoAuthorities),
            None => Ok(None),
        }
    }

    pub(super) fn certificates(&self, now: SystemTime) -> Vec<CertificateReport> {
        let report = |(name, entry): (&String, &Arc<Entry>)| {
            let pair = entry.pair.as_ref()?;
            let facts = &pair.facts;
            Some(CertificateReport {
                name: name.clone(),
                file: pair.file.clone(),
                hosts: self.hosts(name),
                names: facts.names.clone(),
                not_before: facts.not_before,
                not_after: facts.not_after,
                stapled: pair.is_stapled(now),
            })
        };
        let mut reports: Vec<_> = self.entries.iter().filter_map(report).collect();
        reports.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    fn hosts(&self, name: &str) -> Vec<String> {
        if name == DEFAULT {
            return self.trust_default.then(|| "*".to_owned()).into_iter().collect();
        }
        let mut hosts = vec![name.to_owned()];
        let wildcard = format!("*.{name}");
        if name.contains('.') && !name.starts_with("*.") && self.pair(&wildcard).is_none() {
            hosts.push(wildcard);
        }
        hosts
    }

    pub(super) fn client_authorities(&self) -> Vec<AuthorityReport> {
        let report = |(name, entry): (&String, &Arc<Entry>)| match &entry.authorities {
            Authorities::Known(authority) => Some(AuthorityReport {
                host: (name != EVERY_HOST).then(|| name.clone()),
                file: authority.file.clone(),
                authorities: authority.count,
            }),
            Authorities::Unsaid | Authorities::Unreadable => None,
        };
        let mut reports: Vec<_> = self.entries.iter().filter_map(report).collect();
        reports.sort_unstable_by(|a, b| a.host.cmp(&b.host));
        reports
    }

    /// What is wrong as of a moment, by name.
    pub(super) fn problems(&self, now: SystemTime) -> Vec<Problem> {
        let untimely = |(name, entry): (&String, &Arc<Entry>)| {
            let faults = entry.untimely(now);
            faults.map(|fault| fault.problem(name, Effect::ServedAnyway)).collect::<Vec<_>>()
        };
        let mut problems = self.problems.clone();
        problems.extend(self.entries.iter().flat_map(untimely));
        problems.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        problems
    }
}
