//! Where the engine is and what is asked of it.

use std::{
    error, fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// How to discover.
///
/// The default looks for the engine's socket where it usually is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub(crate) address: Option<EngineAddress>,
    pub(crate) sockets: Vec<PathBuf>,
    pub(crate) reconcile: Duration,
    pub(crate) filters: Vec<LabelFilter>,
    pub(crate) hostname: Option<String>,
    pub(crate) proc: PathBuf,
}

impl Options {
    /// What the environment says: `DOCKER_HOST`, `DOCKER_TLS_VERIFY`,
    /// `DOCKER_CERT_PATH` and `DOCKER_CONTAINER_FILTERS`; beside them `HOME`,
    /// for the certificates, and `HOSTNAME`, for the balancer to recognise its
    /// own container.
    ///
    /// `lookup` is [`std::env::var`] in a program, a table in a test.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidOption> {
        let set = |key| lookup(key).filter(|value| !value.is_empty());
        let mut options = Self { hostname: set("HOSTNAME"), ..Self::default() };
        if let Some(host) = set("DOCKER_HOST") {
            let mut address = EngineAddress::read(&host, set("DOCKER_TLS_VERIFY").is_some())?;
            if let EngineAddress::Tls { certificates, .. } = &mut address {
                *certificates = match (set("DOCKER_CERT_PATH"), set("HOME")) {
                    (Some(path), _) => path.into(),
                    (None, Some(home)) => Path::new(&home).join(".docker"),
                    (None, None) => {
                        return Err(InvalidOption {
                            key: "DOCKER_CERT_PATH",
                            value: String::new(),
                            remedy: "DOCKER_TLS_VERIFY is set: name the directory that holds \
                                     ca.pem, cert.pem and key.pem"
                                .into(),
                        });
                    }
                };
            }
            options.address = Some(address);
        }
        if let Some(filters) = set("DOCKER_CONTAINER_FILTERS") {
            options.filters = filters
                .split(',')
                .map(str::trim)
                .filter(|filter| !filter.is_empty())
                .map(str::parse)
                .collect::<Result<_, _>>()?;
        }
        Ok(options)
    }

    /// The engine to ask, in place of the socket that is found.
    #[must_use]
    pub fn address(mut self, address: EngineAddress) -> Self {
        self.address = Some(address);
        self
    }

    /// The time between two looks at the list of containers, which find what
    /// no event told; 10 s unless said otherwise.
    #[must_use]
    pub fn reconcile_interval(mut self, interval: Duration) -> Self {
        // A timer of no interval is a panic.
        self.reconcile = interval.max(Duration::from_millis(1));
        self
    }

    /// Looks only at containers with this label. With several filters, at those
    /// that pass all of them.
    #[must_use]
    pub fn filter(mut self, filter: LabelFilter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Where the proc file system is mounted, in which the balancer looks for
    /// the id of its own container; `/proc` unless said otherwise.
    #[must_use]
    pub fn proc(mut self, path: impl Into<PathBuf>) -> Self {
        self.proc = path.into();
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: None,
            sockets: vec!["/var/run/docker.sock".into(), "/tmp/docker.sock".into()],
            reconcile: Duration::from_secs(10),
            filters: vec![],
            hostname: None,
            proc: "/proc".into(),
        }
    }
}

/// Where an engine listens.
///
/// ```
/// use lb_docker::EngineAddress;
///
/// let address: EngineAddress = "unix:///run/docker.sock".parse()?;
/// assert_eq!(address, EngineAddress::Unix("/run/docker.sock".into()));
/// # Ok::<_, lb_docker::InvalidOption>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineAddress {
    /// A socket in the file system. It is opened by its path each time, as an
    /// engine that starts makes a new one.
    Unix(PathBuf),
    /// A host and a port, in the clear.
    Tcp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// The port, by custom 2375.
        port: u16,
    },
    /// A host and a port, with TLS and a client certificate.
    Tls {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// The port, by custom 2376.
        port: u16,
        /// The directory that holds ca.pem, cert.pem and key.pem.
        certificates: PathBuf,
    },
}

impl EngineAddress {
    fn read(text: &str, tls: bool) -> Result<Self, InvalidOption> {
        let invalid = |remedy: &str| InvalidOption {
            key: "DOCKER_HOST",
            value: text.to_owned(),
            remedy: remedy.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(invalid("name the socket by its whole path: unix:///var/run/docker.sock"))
            };
        }
        let Some(authority) = text.strip_prefix("tcp://") else {
            return Err(invalid("use unix:///path/to/docker.sock or tcp://host:port"));
        };
        let default = if tls { 2376 } else { 2375 };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority, default)
            .filter(|(host, port)| !host.is_empty() && *port != 0)
            .ok_or_else(|| invalid("use tcp://host:port, an IPv6 address in brackets"))?;
        let host = host.to_owned();
        Ok(if tls {
            Self::Tls { host, port, certificates: PathBuf::new() }
        } else {
            Self::Tcp { host, port }
        })
    }
}

fn split_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    if authority.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return None;
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        // It may name the interface: fe80::1%eth0.
        let (address, interface) = host.split_once('%').unwrap_or((host, ""));
        address.parse::<Ipv6Addr>().ok().filter(|_| !interface.contains('['))?;
        let port = match rest {
            "" => default,
            rest => rest.strip_prefix(':')?.parse().ok()?,
        };
        return Some((host, port));
    }
    if authority.contains(['[', ']']) {
        return None;
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, default)),
    }
}

impl FromStr for EngineAddress {
    type Err = InvalidOption;

    /// Reads what `DOCKER_HOST` holds. TLS takes more than that: see
    /// [`Options::from_env`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, false)
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => {
                write!(f, "tcp://{host}:{port}")
            }
        }
    }
}

/// A label that a container must have: `label=key`, or `label=key=value` to
/// ask for the value too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFilter {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
}

impl LabelFilter {
    pub(crate) fn passes(&self, label: Option<&str>) -> bool {
        match (&self.value, label) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(value), Some(label)) => value == label,
        }
    }
}

impl FromStr for LabelFilter {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = text.strip_prefix("label=").filter(|label| !label.is_empty());
        let Some(label) = label else {
            return Err(InvalidOption {
                key: "DOCKER_CONTAINER_FILTERS",
                value: text.to_owned(),
                remedy: "only labels are supported: use label=key or label=key=value".into(),
            });
        };
        Ok(match label.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: label.to_owned(), value: None },
        })
    }
}

/// An option that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOption {
    /// Its name in the environment.
    pub key: &'static str,
    /// What it is set to.
    pub value: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: {}", self.key, self.value, self.remedy)
    }
}

impl error::Error for InvalidOption {}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(env: &[(&str, &str)]) -> Result<Options, InvalidOption> {
        Options::from_env(|key| {
            env.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(from(&[]).unwrap(), Options::default());
        assert_eq!(from(&[("DOCKER_HOST", "")]).unwrap(), Options::default());
    }

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| EngineAddress::Tcp { host: host.into(), port };
        for (text, address) in [
            ("unix:///a/b.sock", EngineAddress::Unix("/a/b.sock".into())),
            ("tcp://10.0.0.1:2375", tcp("10.0.0.1", 2375)),
            ("tcp://engine", tcp("engine", 2375)),
            ("tcp://[::1]:9/", tcp("::1", 9)),
            ("tcp://[fe80::1%eth0]", tcp("fe80::1%eth0", 2375)),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        for text in [
            "/var/run/docker.sock",
            "unix://",
            "unix://docker.sock",
            "ssh://host",
            "tcp://",
            "tcp://host:0",
            "tcp://host:x",
            "tcp://::1:2375",
            "tcp://host/path",
            "tcp://host#1",
            "tcp://my host",
            "tcp://[engine]:1",
            "tcp://[f~d\u{7}0::1]",
            "tcp://[fe80::1%a/b]",
            "tcp://[fe80::1%a[]:9",
            "tcp://[::1]]:9",
            "tcp://host]:9",
        ] {
            let error = text.parse::<EngineAddress>().unwrap_err();
            assert_eq!((error.key, error.value.as_str()), ("DOCKER_HOST", text));
        }
        assert_eq!(tcp("::1", 9).to_string(), "tcp://[::1]:9");
    }

    #[test]
    fn tls_needs_certificates() {
        let tls = |certificates: &str| {
            let (host, certificates) = ("engine".into(), certificates.into());
            Some(EngineAddress::Tls { host, port: 2376, certificates })
        };
        let host = ("DOCKER_HOST", "tcp://engine");
        let verify = ("DOCKER_TLS_VERIFY", "1");
        let certs = ("DOCKER_CERT_PATH", "/certs");
        let home = ("HOME", "/root");
        assert_eq!(from(&[host, verify, certs, home]).unwrap().address, tls("/certs"));
        assert_eq!(from(&[host, verify, home]).unwrap().address, tls("/root/.docker"));
        assert_eq!(from(&[host, verify]).unwrap_err().key, "DOCKER_CERT_PATH");
        // A socket has no use for it.
        assert!(from(&[("DOCKER_HOST", "unix:///a"), verify]).is_ok());
    }

    #[test]
    fn filters() {
        let options = from(&[("DOCKER_CONTAINER_FILTERS", "label=a, label=b=c,")]).unwrap();
        let filter = |key: &str, value: Option<&str>| LabelFilter {
            key: key.into(),
            value: value.map(str::to_owned),
        };
        assert_eq!(options.filters, [filter("a", None), filter("b", Some("c"))]);
        let error = from(&[("DOCKER_CONTAINER_FILTERS", "name=x")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "DOCKER_CONTAINER_FILTERS=\"name=x\": only labels are supported: use label=key or \
             label=key=value"
        );
    }
}
