use std::{error, fmt, str::FromStr, sync::Arc};

use super::{ClientCertificates, Policy};

/// What a host asks for where HTTPS is concerned. What is `None` is left to the
/// proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Https {
    /// Which of HTTP and HTTPS it is served by.
    pub method: Option<HttpsMethod>,
    /// Whether it is served by HTTP while it has no certificate, whatever the method.
    pub http_without_certificate: Option<bool>,
    /// What browsers are told of HTTPS.
    pub hsts: Option<Hsts>,
    /// The name of its certificate, if that isn't the host's own.
    pub certificate: Option<Arc<str>>,
    /// Whether a certificate is ordered for it, by ACME.
    pub acme: Option<bool>,
    /// The versions of TLS.
    pub policy: Option<Policy>,
    /// Whether its clients are asked for certificates.
    pub client_certificates: Option<ClientCertificates>,
}

/// Which of HTTP and HTTPS a host is served by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpsMethod {
    /// `redirect`: by HTTPS, and HTTP sends clients there. The default.
    #[default]
    Redirect,
    /// `noredirect`: by both.
    NoRedirect,
    /// `nohttp`: by HTTPS alone.
    NoHttp,
    /// `nohttps`: by HTTP alone.
    NoHttps,
}

impl HttpsMethod {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Redirect, Self::NoRedirect, Self::NoHttp, Self::NoHttps];

    /// The name it is written by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::NoRedirect => "noredirect",
            Self::NoHttp => "nohttp",
            Self::NoHttps => "nohttps",
        }
    }
}

impl fmt::Display for HttpsMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HttpsMethod {
    type Err = UnknownHttpsMethod;

    fn from_str(text: &str) -> Result<Self, UnknownHttpsMethod> {
        let known = Self::ALL.into_iter().find(|method| method.name() == text.trim());
        known.ok_or_else(|| UnknownHttpsMethod(text.to_owned()))
    }
}

/// This isn't the name of an [`HttpsMethod`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownHttpsMethod(String);

impl fmt::Display for UnknownHttpsMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text:?} is none of redirect, noredirect, nohttp and nohttps")
    }
}

impl error::Error for UnknownHttpsMethod {}

/// The value of `Strict-Transport-Security` (RFC 6797), by which browsers are told
/// to use HTTPS from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// `off`: they are told nothing.
    Off,
    /// As it is sent.
    Value(Arc<str>),
}

impl Default for Hsts {
    /// For a year, without subdomains.
    fn default() -> Self {
        Self::Value("max-age=31536000".into())
    }
}

impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Value(value) => value,
        })
    }
}

impl FromStr for Hsts {
    type Err = InvalidHsts;

    /// Browsers ignore a value that doesn't say for how long.
    fn from_str(text: &str) -> Result<Self, InvalidHsts> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        let lasts = text.split(';').any(|directive| {
            let (name, age) = directive.split_once('=').unwrap_or_default();
            let age = age.trim().trim_matches('"');
            let is_number = !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
            name.trim().eq_ignore_ascii_case("max-age") && is_number
        });
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if lasts && is_printable {
            Ok(Self::Value(text.into()))
        } else {
            Err(InvalidHsts(text.to_owned()))
        }
    }
}

/// This can't be the value of `Strict-Transport-Security`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHsts(String);

impl fmt::Display for InvalidHsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text:?} says not for how many seconds; write max-age=31536000, or off")
    }
}

impl error::Error for InvalidHsts {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_names_of_nginx_proxy() {
        for method in HttpsMethod::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        let error = "https".parse::<HttpsMethod>().unwrap_err().to_string();
        assert_eq!(error, "\"https\" is none of redirect, noredirect, nohttp and nohttps");
    }

    #[test]
    fn browsers_are_told_for_how_long() {
        for text in ["max-age=0", "includeSubDomains; Max-Age=\"300\"", "max-age=1; preload"] {
            assert_eq!(text.parse(), Ok(Hsts::Value(text.into())));
        }
        assert_eq!(" off ".parse(), Ok(Hsts::Off));
        for text in
            ["", "on", "max-age", "max-age=", "max-age=-1", "max-age=1\r\nx: y", "max-age=1é"]
        {
            assert!(text.parse::<Hsts>().is_err(), "{text}");
        }
    }
}
