use std::{error, fmt, str::FromStr};

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge: what gRPC needs.
    Http2,
}

impl Protocol {
    /// The name it is configured and reported by: `http` or `h2c`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "h2c",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// This isn't the name of a protocol that is spoken to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProtocol(String);

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not spoken to endpoints; use http, h2c or grpc", self.0)
    }
}

impl error::Error for UnknownProtocol {}

/// Takes `grpc` for `h2c` as well, which is what it is for the proxy.
impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        match text {
            "http" => Ok(Self::Http1),
            "h2c" | "grpc" => Ok(Self::Http2),
            _ => Err(UnknownProtocol(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_others_are_not() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("grpc".parse(), Ok(Protocol::Http2));
        let error = "fastcgi".parse::<Protocol>().unwrap_err().to_string();
        assert_eq!(error, "`fastcgi` is not spoken to endpoints; use http, h2c or grpc");
    }
}
