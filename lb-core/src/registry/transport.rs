use std::{error, fmt, net::IpAddr, str::FromStr, sync::Arc};

use super::{Binding, HostPattern, Protocol, ProxyProtocol};

/// How connections to an endpoint are made. Those to one address that are made in
/// different ways are no connections of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Transport {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The name that is asked for by TLS, and that the certificate has to be for;
    /// `None` for the endpoint's address, which has to be in the certificate then and
    /// isn't asked for. Without TLS there is none.
    pub server_name: Option<ServerName>,
    /// Whose certificate it has to show; `None` for what the proxy takes where nobody
    /// says. Without TLS there is none.
    pub verification: Option<Verification>,
    /// The PROXY header that comes first, if any does.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Transport {
    /// Without being told the name, the endpoint is asked for the host that it serves,
    /// if that is one: connections are for all that a wildcard stands for.
    pub(super) fn of(binding: &Binding) -> Self {
        let Binding { protocol, proxy_protocol, .. } = *binding;
        if !protocol.is_tls() {
            return Self { protocol, proxy_protocol, ..Self::default() };
        }
        let host = || match &binding.host {
            HostPattern::Exact(host) => Some(ServerName::new(host)),
            _ => None,
        };
        Self {
            protocol,
            server_name: binding.server_name.clone().or_else(host),
            verification: binding.verification,
            proxy_protocol,
        }
    }
}

/// The name of a server, as TLS has it: a host, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName(Arc<str>);

impl ServerName {
    fn new(host: &str) -> Self {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Self(address.unwrap_or(host).into())
    }

    /// The host in small letters, or the address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string().into()));
        }
        match text.parse() {
            Ok(HostPattern::Exact(host)) => Ok(Self::new(&host)),
            _ => Err(InvalidServerName(())),
        }
    }
}

/// This is no name that TLS could ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidServerName(());

impl fmt::Display for InvalidServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS asks for one host, such as api.example.com, or an IP address")
    }
}

impl error::Error for InvalidServerName {}

/// Which certificates of an endpoint are believed. Which files there are to choose from
/// is up to who runs the proxy, so an endpoint can only name the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// All: what is sent can be read and changed by whoever sits in between.
    Off,
    /// Those of the authorities that Mozilla's browsers believe.
    Webpki,
    /// Those of the authorities that the proxy was given for this.
    Ca,
}

impl Verification {
    /// The name it is configured by: `off`, `webpki` or `ca`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Webpki => "webpki",
            Self::Ca => "ca",
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This isn't the name of a [`Verification`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVerification(String);

impl fmt::Display for UnknownVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not known here; use off, webpki or ca", self.0)
    }
}

impl error::Error for UnknownVerification {}

impl FromStr for Verification {
    type Err = UnknownVerification;

    fn from_str(text: &str) -> Result<Self, UnknownVerification> {
        let known = [Self::Off, Self::Webpki, Self::Ca];
        let found = known.into_iter().find(|known| known.name() == text);
        found.ok_or_else(|| UnknownVerification(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(binding: &Binding) -> Option<String> {
        Transport::of(binding).server_name.map(|name| name.to_string())
    }

    #[test]
    fn the_host_is_asked_for_unless_another_name_is_given() {
        for (host, expected) in [
            ("App.local", Some("app.local")),
            ("[::1]", Some("::1")),
            ("*.app.local", None),
            ("app.*", None),
        ] {
            let mut binding = Binding::new(host.parse().unwrap(), None);
            assert_eq!(Transport::of(&binding), Transport::default(), "not without TLS");
            binding.protocol = Protocol::Http1Tls;
            assert_eq!(name(&binding).as_deref(), expected);
            binding.server_name = "inside.local".parse().ok();
            assert_eq!(name(&binding).as_deref(), Some("inside.local"));
        }
    }

    #[test]
    fn a_name_is_one_server() {
        for (text, expected) in [
            ("A.test.", Some("a.test")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("*.a.test", None),
            ("a b", None),
            ("a:443", None),
            ("", None),
        ] {
            let name = text.parse::<ServerName>().ok();
            assert_eq!(name.as_ref().map(ServerName::as_str), expected, "{text:?}");
        }
    }

    #[test]
    fn verifications_have_names() {
        for one in [Verification::Off, Verification::Webpki, Verification::Ca] {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        let error = "/etc/ca.pem".parse::<Verification>().unwrap_err().to_string();
        assert_eq!(error, "`/etc/ca.pem` is not known here; use off, webpki or ca");
    }
}
