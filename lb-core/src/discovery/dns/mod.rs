//! Endpoints from DNS: the addresses of a name, or the services it lists.
//!
//! ```
//! use lb_core::discovery::{dns, merge};
//!
//! let api = dns::addresses("api.internal.", 8080)?;
//! let web = dns::services("_http._tcp.web.internal.")?;
//! let status = web.status();
//! assert!(!status.report().synced);
//! let both = merge().source("api", api).source("web", web);
//! # let _ = both;
//! # Ok::<_, dns::InvalidName>(())
//! ```
//!
//! A name is asked for again when its records' time to live has passed, within
//! [bounds](Dns::ttl). What can't be found out stays as it was: a name that
//! doesn't exist, an answer without records, a server that fails or doesn't
//! answer change nothing, show in the [`Status`] and the log, and are tried
//! again after a pause that doubles up to half a minute and is partly chance.
//! A set is given up for an empty one only if the service says that it is not
//! offered (a single SRV record with the target `.`, RFC 2782).
//!
//! # Identity
//!
//! DNS tells addresses and nothing else, so an endpoint's identity is its
//! address: `10.0.0.1:8080`. Something else that gets the address takes over its
//! load and its connections. Where addresses are reused quickly, as for
//! containers, a source that knows identities serves better.
//!
//! # Names
//!
//! A name that ends in a dot is asked for as it is. Any other goes through the
//! search list of the system first, like everywhere else, and costs a question
//! for each entry. The hosts file counts, too. Both are left out where
//! [servers](Dns::servers) are given.

mod follow;
mod resolver;
mod services;

use std::{
    error, fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use hickory_resolver::proto::rr::Name;

use super::{Change, Reporter, Status, driven::Driven};

/// The addresses of `name` (A and AAAA records), each with this port.
///
/// All have the weight 1 and the priority 0.
pub fn addresses(name: &str, port: u16) -> Result<Dns, InvalidName> {
    if port == 0 {
        return Err(InvalidName { name: name.into(), problem: Problem::Port });
    }
    Ok(Dns::new(Question::Addresses(parse(name)?, port)))
}

/// The services that `name` lists (SRV records), such as `_http._tcp.web.internal.`.
///
/// A record's priority and weight are its endpoint's. A weight of 0 counts as 1,
/// which is what the algorithm of RFC 2782 comes to: the smallest share there
/// is, and an equal one where all have it. A target with several addresses is
/// several endpoints, which share its weight. An address that several records
/// come to is one endpoint: it has the best of their priorities, and all their
/// weights of that priority.
pub fn services(name: &str) -> Result<Dns, InvalidName> {
    Ok(Dns::new(Question::Services(parse(name)?)))
}

/// The discovery returned by [`addresses`] and [`services`].
///
/// It never ends, and must be read inside a tokio runtime.
#[must_use = "a discovery does nothing unless it is read"]
pub struct Dns {
    options: Options,
    status: Status,
    /// Taken along when the work begins.
    reporter: Option<Reporter>,
    driven: Option<Driven<SocketAddr>>,
}

impl Dns {
    /// Which addresses of a name are used; [`Family::V4First`] unless set here.
    pub fn family(mut self, family: Family) -> Self {
        self.options.family = family;
        self
    }

    /// Asks these servers, over UDP and TCP, instead of those the system is
    /// configured with.
    pub fn servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.options.servers = servers.into_iter().collect();
        self
    }

    /// How long an answer counts, whatever its records say: 1 second to 5
    /// minutes unless set here. Less than 10 ms is taken for 10 ms.
    pub fn ttl(mut self, bounds: RangeInclusive<Duration>) -> Self {
        let least = (*bounds.start()).max(Duration::from_millis(10));
        self.options.ttl = (least, (*bounds.end()).max(least));
        self
    }

    /// How long a question may take, with all tries at all servers; 10 seconds
    /// unless set here.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = limit;
        self
    }

    /// Whether the last answers were good, and if not, why.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    fn new(question: Question) -> Self {
        let (reporter, status) = Reporter::new();
        let options = Options {
            question,
            family: Family::default(),
            servers: Vec::new(),
            ttl: (Duration::from_secs(1), Duration::from_secs(300)),
            timeout: Duration::from_secs(10),
        };
        Self { options, status, reporter: Some(reporter), driven: None }
    }
}

impl Stream for Dns {
    type Item = Change<SocketAddr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(reporter) = this.reporter.take() {
            let options = this.options.clone();
            this.driven = Some(Driven::new(|changes| follow::run(options, reporter, changes)));
        }
        match &mut this.driven {
            Some(driven) => Pin::new(driven).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("question", &self.options.question).finish_non_exhaustive()
    }
}

/// Which of a name's addresses are used.
///
/// A server with addresses of both families is two endpoints to a balancer if
/// both are used, and one that fails where this host has no IPv6. So the default
/// uses one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4, and IPv6 for names that have no IPv4 address.
    #[default]
    V4First,
    /// IPv6, and IPv4 for names that have no IPv6 address.
    V6First,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

/// A name or port that can't be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    name: String,
    problem: Problem,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.problem {
            Problem::Empty => write!(f, "name={name:?}: write a host name, as api.internal."),
            Problem::Address => {
                write!(f, "name={name:?}: this is an address; use a fixed or a file discovery")
            }
            Problem::Name(error) => write!(f, "name={name:?}: no name of DNS: {error}"),
            Problem::Port => write!(f, "port=\"0\": write the port on which {name} listens"),
        }
    }
}

impl error::Error for InvalidName {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    Address,
    Name(String),
    Port,
}

fn parse(name: &str) -> Result<Name, InvalidName> {
    let invalid = |problem| InvalidName { name: name.into(), problem };
    if name.is_empty() || name == "." {
        return Err(invalid(Problem::Empty));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(invalid(Problem::Address));
    }
    // Compose and others have `_` in the names of hosts.
    Name::from_str_relaxed(name).map_err(|error| invalid(Problem::Name(error.to_string())))
}

#[derive(Clone)]
struct Options {
    question: Question,
    family: Family,
    /// Those of the system if empty.
    servers: Vec<SocketAddr>,
    /// At least and at most.
    ttl: (Duration, Duration),
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Question {
    Addresses(Name, u16),
    Services(Name),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anybody_is_asked() {
        for name in ["api", "api.internal.", "_http._tcp.web", "my_app-1", "bücher.example"] {
            assert!(addresses(name, 80).is_ok(), "{name}");
        }
        let long = "a".repeat(64);
        for (name, port, expected) in [
            ("", 80, "name=\"\": write a host name"),
            (".", 80, "name=\".\": write a host name"),
            ("10.0.0.1", 80, "name=\"10.0.0.1\": this is an address"),
            ("::1", 80, "name=\"::1\": this is an address"),
            ("a..b", 80, "name=\"a..b\": no name of DNS"),
            ("a b", 80, "name=\"a b\": no name of DNS"),
            (&long, 80, "name=\"aaa"),
            ("api", 0, "port=\"0\": write the port on which api listens"),
        ] {
            let error = addresses(name, port).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_mended() {
        let second = Duration::from_secs(1);
        let bounds = |bounds| services("a").unwrap().ttl(bounds).options.ttl;
        assert_eq!(bounds(second * 2..=second), (second * 2, second * 2));
        assert_eq!(bounds(Duration::ZERO..=second), (Duration::from_millis(10), second));
    }
}
