use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use super::{
    Binding, ClientCertificates, HostPattern, Hsts, Https, HttpsMethod, Policy, Problem,
    Registration, Transport,
};
use crate::{
    balance::Algorithm,
    endpoint::{Endpoint, EndpointId, State},
};

/// What is to be served, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The services, in the order of their hosts.
    pub services: Vec<PlannedService>,
    /// What no service includes, and why.
    pub unrouted: Vec<Unrouted>,
    /// Where registrations contradict each other, and who was right.
    pub conflicts: Vec<Conflict>,
}

/// One service: all that registered the same host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedService {
    /// The host they registered; its text is the service's name.
    pub host: HostPattern,
    /// The algorithm they ask for.
    pub algorithm: Option<Algorithm>,
    /// The time they want new endpoints to be given to warm up.
    pub slow_start: Option<Duration>,
    /// What they ask for where HTTPS is concerned.
    pub https: Https,
    /// Who serves it, or will.
    pub endpoints: Vec<PlannedEndpoint>,
}

/// One member of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEndpoint {
    /// Who it is.
    pub id: EndpointId,
    /// The source that knows it.
    pub source: Arc<str>,
    /// What people call it.
    pub name: Arc<str>,
    /// Where it listens, if it can be reached.
    pub address: Option<SocketAddr>,
    /// How connections are made there.
    pub transport: Transport,
    /// Its share of requests.
    pub weight: u32,
    /// Whether its source wants it used.
    pub state: State,
    /// Whether an operator wants it drained.
    pub drained: bool,
    /// Settings of it that were not used.
    pub problems: Vec<Problem>,
}

impl PlannedEndpoint {
    /// Whether it is to get requests.
    pub fn is_wanted(&self) -> bool {
        self.state == State::Active && self.weight > 0 && !self.drained
    }
}

/// An instance that no service includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrouted {
    /// Who it is.
    pub id: EndpointId,
    /// The source that knows it.
    pub source: Arc<str>,
    /// What people call it.
    pub name: Arc<str>,
    /// Settings that keep it out; empty where it never asked to be routed.
    pub problems: Vec<Problem>,
    /// Whether its source wants it used, and why not.
    pub state: State,
}

/// Two registrations that can't both have their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The host they share.
    pub host: HostPattern,
    /// The setting in question.
    pub key: &'static str,
    /// What it is set to, and by whom.
    pub kept: (String, Arc<str>),
    /// What else was asked for, and by whom.
    pub ignored: (String, Arc<str>),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, key, kept, ignored } = self;
        write!(
            f,
            "{host}: {key} is {} because {} is older; {} asks for {} in vain",
            kept.0, kept.1, ignored.1, ignored.0
        )
    }
}

type Registered<'a> = (&'a Arc<str>, &'a EndpointId, &'a Endpoint<Registration>);

pub(super) fn plan<'a>(
    registered: impl Iterator<Item = Registered<'a>>,
    drained: &BTreeSet<EndpointId>,
) -> Plan {
    let mut registered: Vec<_> = registered.collect();
    // The older is right; among equals the order of names, so that the plan
    // doesn't depend on who spoke first.
    registered.sort_by(|a, b| {
        let key = |(source, id, endpoint): &Registered<'a>| {
            (endpoint.target.created, Arc::clone(source), EndpointId::clone(id))
        };
        key(a).cmp(&key(b))
    });

    let mut plan = Plan::default();
    let mut services: BTreeMap<HostPattern, Service> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (source, id, endpoint) in registered {
        let registration = &endpoint.target;
        let unrouted = |problems| Unrouted {
            id: id.clone(),
            source: Arc::clone(source),
            name: Arc::clone(&registration.name),
            problems,
            state: endpoint.state.clone(),
        };
        if !seen.insert(id) {
            let mut problems = registration.problems.clone();
            problems.push(Problem {
                key: "id".into(),
                value: id.to_string(),
                remedy: "another source knows this identity; give it to one of them".into(),
            });
            plan.unrouted.push(unrouted(problems));
            continue;
        }
        if registration.bindings.is_empty() {
            plan.unrouted.push(unrouted(registration.problems.clone()));
            continue;
        }
        for binding in &registration.bindings {
            let service = services.entry(binding.host.clone()).or_default();
            plan.conflicts.extend(service.agree(binding, &registration.name));
            let planned = PlannedEndpoint {
                id: id.clone(),
                source: Arc::clone(source),
                name: Arc::clone(&registration.name),
                address: binding.address,
                transport: Transport::of(binding),
                weight: endpoint.weight,
                state: endpoint.state.clone(),
                drained: drained.contains(id),
                problems: registration.problems.clone(),
            };
            let listed = service
                .endpoints
                .iter()
                .any(|other| other.id == planned.id && other.address == planned.address);
            if !listed {
                service.endpoints.push(planned);
            }
        }
    }
    plan.services = services.into_iter().map(|(host, service)| service.planned(host)).collect();
    plan
}

#[derive(Default)]
struct Service {
    algorithm: Agreed<Algorithm>,
    slow_start: Agreed<Duration>,
    https_method: Agreed<HttpsMethod>,
    http_without_certificate: Agreed<bool>,
    hsts: Agreed<Hsts>,
    certificate: Agreed<Arc<str>>,
    acme: Agreed<bool>,
    policy: Agreed<Policy>,
    client_certificates: Agreed<ClientCertificates>,
    endpoints: Vec<PlannedEndpoint>,
}

/// What all members share, and by whose word.
type Agreed<T> = Option<(T, Arc<str>)>;

impl Service {
    /// Takes the binding's word on what all members share, unless an older one
    /// has spoken.
    fn agree(&mut self, binding: &Binding, name: &Arc<str>) -> Vec<Conflict> {
        let Binding { algorithm, slow_start, https, .. } = binding;
        let disputed = [
            ("algorithm", agree(&mut self.algorithm, algorithm, name, shown)),
            (
                "slow_start",
                agree(&mut self.slow_start, slow_start, name, |time| format!("{time:?}")),
            ),
            ("https", agree(&mut self.https_method, &https.method, name, shown)),
            (
                "http_without_certificate",
                agree(
                    &mut self.http_without_certificate,
                    &https.http_without_certificate,
                    name,
                    shown,
                ),
            ),
            ("hsts", agree(&mut self.hsts, &https.hsts, name, shown)),
            ("certificate", agree(&mut self.certificate, &https.certificate, name, shown)),
            ("acme", agree(&mut self.acme, &https.acme, name, shown)),
            ("tls_policy", agree(&mut self.policy, &https.policy, name, shown)),
            (
                "client_certificates",
                agree(&mut self.client_certificates, &https.client_certificates, name, shown),
            ),
        ];
        let conflict =
            |(key, (kept, ignored))| Conflict { host: binding.host.clone(), key, kept, ignored };
        disputed
            .into_iter()
            .filter_map(|(key, disputed)| Some((key, disputed?)))
            .map(conflict)
            .collect()
    }

    fn planned(self, host: HostPattern) -> PlannedService {
        PlannedService {
            host,
            algorithm: kept(self.algorithm),
            slow_start: kept(self.slow_start),
            https: Https {
                method: kept(self.https_method),
                http_without_certificate: kept(self.http_without_certificate),
                hsts: kept(self.hsts),
                certificate: kept(self.certificate),
                acme: kept(self.acme),
                policy: kept(self.policy),
                client_certificates: kept(self.client_certificates),
            },
            endpoints: self.endpoints,
        }
    }
}

fn kept<T>(agreed: Agreed<T>) -> Option<T> {
    agreed.map(|(kept, _)| kept)
}

fn shown<T: fmt::Display>(value: &T) -> String {
    value.to_string()
}

/// A setting and who asks for it.
type Said = (String, Arc<str>);

/// What was kept and what was not, where they differ.
fn agree<T: Clone + PartialEq>(
    agreed: &mut Agreed<T>,
    asked: &Option<T>,
    name: &Arc<str>,
    show: impl Fn(&T) -> String,
) -> Option<(Said, Said)> {
    let asked = asked.as_ref()?;
    let (kept, by) = agreed.get_or_insert_with(|| (asked.clone(), Arc::clone(name)));
    (kept != asked).then(|| ((show(kept), Arc::clone(by)), (show(asked), Arc::clone(name))))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{discovery::Change, registry::Registry};

    fn registration(name: &str, age: u64, hosts: &[&str]) -> Endpoint<Registration> {
        let address = Some("10.0.0.1:80".parse().unwrap());
        let bindings = hosts.iter().map(|host| Binding::new(host.parse().unwrap(), address));
        Endpoint::new(Registration {
            name: name.into(),
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(age),
            bindings: bindings.collect(),
            problems: Vec::new(),
        })
    }

    fn asking(
        algorithm: Algorithm,
        mut endpoint: Endpoint<Registration>,
    ) -> Endpoint<Registration> {
        for binding in &mut endpoint.target.bindings {
            binding.algorithm = Some(algorithm);
        }
        endpoint
    }

    fn hosts(plan: &Plan) -> Vec<(String, Vec<&str>)> {
        let mut hosts = Vec::new();
        for service in &plan.services {
            let ids = service.endpoints.iter().map(|endpoint| endpoint.id.as_str());
            hosts.push((service.host.to_string(), ids.collect()));
        }
        hosts
    }

    #[test]
    fn all_that_name_a_host_form_one_service() {
        let mut registry = Registry::new();
        let (docker, config) = ("docker".into(), "config".into());
        registry.apply(&docker, Change::Upsert("1".into(), registration("one", 1, &["a", "b"])));
        registry.apply(&docker, Change::Upsert("2".into(), registration("two", 2, &["b"])));
        registry.apply(&config, Change::Upsert("3".into(), registration("three", 0, &["b"])));
        let expected = |b: Vec<&'static str>| vec![("a".into(), vec!["1"]), ("b".into(), b)];
        assert_eq!(hosts(&registry.plan()), expected(vec!["3", "1", "2"]));

        registry.apply(&docker, Change::Remove("2".into()));
        assert_eq!(hosts(&registry.plan()), expected(vec!["3", "1"]));

        registry.apply(&docker, Change::Reset(Vec::new()));
        assert_eq!(hosts(&registry.plan()), [("b".into(), vec!["3"])]);
    }

    #[test]
    fn a_host_named_twice_is_served_once() {
        let mut registry = Registry::new();
        let endpoint = registration("one", 1, &["a", "a"]);
        registry.apply(&"docker".into(), Change::Upsert("1".into(), endpoint));
        assert_eq!(hosts(&registry.plan()), [("a".into(), vec!["1"])]);
    }

    #[test]
    fn what_has_no_binding_is_apart_with_its_reason() {
        let mut registry = Registry::new();
        let mut endpoint = registration("bad", 1, &[]);
        endpoint.target.problems.push(Problem {
            key: "VIRTUAL_PORT".into(),
            value: "70000".into(),
            remedy: "a port is a number from 1 to 65535".into(),
        });
        registry.apply(&"docker".into(), Change::Upsert("1".into(), endpoint));
        registry.apply(&"docker".into(), Change::Upsert("2".into(), registration("ok", 1, &["a"])));
        let plan = registry.plan();
        assert_eq!(hosts(&plan), [("a".into(), vec!["2"])]);
        let shown: Vec<_> = plan.unrouted[0].problems.iter().map(Problem::to_string).collect();
        assert_eq!(shown, [r#"VIRTUAL_PORT="70000": a port is a number from 1 to 65535"#]);
    }

    #[test]
    fn the_older_is_right_whoever_spoke_first() {
        let old = asking(Algorithm::LeastRequest, registration("old", 1, &["a"]));
        let new = asking(Algorithm::RoundRobin, registration("new", 2, &["a"]));
        let mut plans = Vec::new();
        for order in [[("1", &old), ("2", &new)], [("2", &new), ("1", &old)]] {
            let mut registry = Registry::new();
            for (id, endpoint) in order {
                registry.apply(&"docker".into(), Change::Upsert(id.into(), endpoint.clone()));
            }
            plans.push(registry.plan());
        }
        assert_eq!(plans[0], plans[1]);
        assert_eq!(plans[0].services[0].algorithm, Some(Algorithm::LeastRequest));
        assert_eq!(
            plans[0].conflicts[0].to_string(),
            "a: algorithm is least_request because old is older; new asks for round_robin in vain"
        );
    }

    #[test]
    fn an_identity_belongs_to_one_source() {
        let mut registry = Registry::new();
        registry.apply(&"b".into(), Change::Upsert("1".into(), registration("late", 2, &["a"])));
        registry.apply(&"a".into(), Change::Upsert("1".into(), registration("early", 1, &["a"])));
        let plan = registry.plan();
        assert_eq!(&*plan.services[0].endpoints[0].name, "early");
        assert_eq!(plan.services[0].endpoints.len(), 1);
        assert_eq!(&*plan.unrouted[0].name, "late");
        assert_eq!(plan.unrouted[0].problems[0].key, "id");
    }
}
