//! Who answers for which host: folds what every source registers into one plan
//! of services, and keeps what can't be served apart, with the reason.
//!
//! All of it is pure. Nothing here connects, waits or logs; a plan says what it
//! found wrong and its user decides how loudly to repeat it.

mod drained;
mod host;
mod https;
mod linger;
mod plan;
mod policy;
mod protocol;
mod proxy_protocol;
mod routes;
mod transport;
mod who;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    balance::Algorithm,
    discovery::Change,
    endpoint::{Endpoint, EndpointId},
};

pub use drained::NotFound;
pub use host::{HostPattern, InvalidHost};
pub use https::{Hsts, Https, HttpsMethod, InvalidHsts, UnknownHttpsMethod};
pub use linger::Lingering;
pub use plan::{Conflict, Plan, PlannedEndpoint, PlannedService, Unrouted};
pub use policy::{ClientCertificates, Policy, UnknownClientCertificates, UnknownPolicy};
pub use protocol::{Protocol, UnknownProtocol};
pub use proxy_protocol::{ProxyProtocol, UnknownProxyProtocol};
pub use routes::Routes;
pub use transport::{InvalidServerName, ServerName, Transport, UnknownVerification, Verification};
#[cfg(feature = "http")]
pub(crate) use who::meant;

/// What a source says of one instance: a container, a task, a line of
/// configuration.
///
/// One that nobody wants routed has neither bindings nor problems; its
/// [`State::Down`](crate::endpoint::State::Down) says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What people call it: a container's name. For logs and labels; never an
    /// identity.
    pub name: Arc<str>,
    /// When it was created. Where two contradict each other, the older is
    /// right.
    pub created: SystemTime,
    /// The hosts it answers for.
    pub bindings: Vec<Binding>,
    /// What it said that can't be used. One that has problems and no bindings is
    /// in quarantine; one that has both is served as far as its bindings go.
    pub problems: Vec<Problem>,
}

/// One host that an instance answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// The requests it wants.
    pub host: HostPattern,
    /// Where it listens; `None` while it can't be reached, for the reason that
    /// its state gives.
    pub address: Option<SocketAddr>,
    /// What it speaks there.
    pub protocol: Protocol,
    /// Of TLS: the name it is to be asked for, which its certificate has to be for;
    /// `None` for the host, unless that is a wildcard.
    pub server_name: Option<ServerName>,
    /// Of TLS: which certificate it has to show; `None` for what the proxy takes.
    pub verification: Option<Verification>,
    /// The version of the PROXY header that is to tell it whose requests come; none.
    /// The proxy sends them with the feature `server`.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The algorithm it asks for; `None` to go along with the others.
    pub algorithm: Option<Algorithm>,
    /// The time over which it wants new endpoints to be given more and more
    /// requests; `None` to go along with the others.
    pub slow_start: Option<Duration>,
    /// What it asks for where HTTPS is concerned.
    pub https: Https,
}

impl Binding {
    /// A binding of one that speaks HTTP/1.1 and asks for nothing else.
    pub fn new(host: HostPattern, address: Option<SocketAddr>) -> Self {
        Self {
            host,
            address,
            protocol: Protocol::Http1,
            server_name: None,
            verification: None,
            proxy_protocol: None,
            algorithm: None,
            slow_start: None,
            https: Https::default(),
        }
    }
}

/// A setting that can't be used: what was said, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting: a variable, a label, a key of the configuration file.
    pub key: String,
    /// What it is set to.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: {}", self.key, self.value, self.remedy)
    }
}

/// Everything that every source has registered.
#[derive(Debug, Default)]
pub struct Registry {
    /// By source, in the order of their names; then by identity.
    sources: BTreeMap<Arc<str>, BTreeMap<EndpointId, Endpoint<Registration>>>,
    /// Those that are to get no requests, whatever their source says.
    drained: BTreeSet<EndpointId>,
}

impl Registry {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what the source of this name says.
    pub fn apply(&mut self, source: &Arc<str>, change: Change<Registration>) {
        let known = self.sources.entry(Arc::clone(source)).or_default();
        match change {
            Change::Reset(all) => *known = all.into_iter().collect(),
            Change::Upsert(id, endpoint) => {
                known.insert(id, endpoint);
            }
            Change::Remove(id) => {
                known.remove(&id);
            }
        }
        let sources = &self.sources;
        self.drained.retain(|id| sources.values().any(|known| known.contains_key(id)));
    }

    /// What follows from it all: the same registrations give the same plan, in
    /// whatever order they came.
    pub fn plan(&self) -> Plan {
        plan::plan(self.registered(), &self.drained)
    }

    fn registered(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &EndpointId, &Endpoint<Registration>)> {
        self.sources.iter().flat_map(|(source, known)| {
            known.iter().map(move |(id, endpoint)| (source, id, endpoint))
        })
    }
}
