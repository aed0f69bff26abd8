use std::{error, fmt, str::FromStr};

/// The version of the PROXY header with which connections to an endpoint begin.
///
/// It names one client, so such a connection carries requests of that client alone,
/// and there is one at least for each client of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyProtocol {
    /// The name it is configured by: `v1` or `v2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This isn't the name of a [`ProxyProtocol`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProxyProtocol(String);

impl fmt::Display for UnknownProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no version of the PROXY protocol; use v1 or v2", self.0)
    }
}

impl error::Error for UnknownProxyProtocol {}

impl FromStr for ProxyProtocol {
    type Err = UnknownProxyProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProxyProtocol> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            _ => Err(UnknownProxyProtocol(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_others_are_not() {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        let error = "on".parse::<ProxyProtocol>().unwrap_err().to_string();
        assert_eq!(error, "`on` is no version of the PROXY protocol; use v1 or v2");
    }
}
