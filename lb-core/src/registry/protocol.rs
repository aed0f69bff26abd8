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
    /// HTTP/1.1 over TLS.
    Http1Tls,
    /// HTTP/2 over TLS, agreed upon by ALPN.
    Http2Tls,
}

impl Protocol {
    /// The name it is configured and reported by: `http`, `h2c`, `https` or `h2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "h2c",
            Self::Http1Tls => "https",
            Self::Http2Tls => "h2",
        }
    }

    /// Whether it is HTTP/2, which carries many requests at once.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    /// Whether it is spoken over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
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
        let known = "http, https, h2c, h2, grpc or grpcs";
        write!(f, "`{}` is not spoken to endpoints; use {known}", self.0)
    }
}

impl error::Error for UnknownProtocol {}

/// Takes `grpc` for `h2c` as well, and `grpcs` for `h2`, which is what they are for the
/// proxy.
impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        match text {
            "http" => Ok(Self::Http1),
            "h2c" | "grpc" => Ok(Self::Http2),
            "https" => Ok(Self::Http1Tls),
            "h2" | "grpcs" => Ok(Self::Http2Tls),
            _ => Err(UnknownProtocol(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_others_are_not() {
        use Protocol::{Http1, Http1Tls, Http2, Http2Tls};
        for protocol in [Http1, Http2, Http1Tls, Http2Tls] {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!(("grpc".parse(), "grpcs".parse()), (Ok(Http2), Ok(Http2Tls)));
        let error = "fastcgi".parse::<Protocol>().unwrap_err().to_string();
        let expected =
            "`fastcgi` is not spoken to endpoints; use http, https, h2c, h2, grpc or grpcs";
        assert_eq!(error, expected);
    }
}
