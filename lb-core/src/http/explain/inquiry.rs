use std::{error, fmt, net::IpAddr, str::FromStr};

use ::http::{HeaderMap, Uri, uri::PathAndQuery};

/// A request that somebody wonders about, as clients would send it.
///
/// Written as a host, with a port or without, or as a URL: `app.local`,
/// `app.local:8080`, `https://app.local/path`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inquiry {
    /// What `Host` would say.
    pub host: String,
    /// Whether it would come by HTTPS; no.
    pub secure: bool,
    /// The path and the query; `/`.
    pub target: PathAndQuery,
    /// Who would send it; nobody in particular.
    pub client: Option<IpAddr>,
    /// What else it would say.
    pub headers: HeaderMap,
}

impl FromStr for Inquiry {
    type Err = InvalidInquiry;

    fn from_str(text: &str) -> Result<Self, InvalidInquiry> {
        let invalid = || InvalidInquiry(text.to_owned());
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(invalid()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.is_empty() {
            return Err(invalid());
        }
        // `http://app.local?a=b` asks for `/?a=b`.
        let target: Uri = format!("/{}", target.strip_prefix('/').unwrap_or(target))
            .parse()
            .map_err(|_| invalid())?;
        Ok(Self {
            host: host.to_owned(),
            secure,
            target: target.into_parts().path_and_query.ok_or_else(invalid)?,
            client: None,
            headers: HeaderMap::new(),
        })
    }
}

/// What was written is none of the forms of an [`Inquiry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidInquiry(String);

impl fmt::Display for InvalidInquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "{text:?} is neither a host nor a URL; write app.local, app.local:8080 or \
             https://app.local/path"
        )
    }
}

impl error::Error for InvalidInquiry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_or_a_url_will_do() {
        for (text, host, secure, target) in [
            ("app.local", "app.local", false, "/"),
            (" App.Local. ", "App.Local.", false, "/"),
            ("app.local:8080", "app.local:8080", false, "/"),
            ("app.local/a?b=c", "app.local", false, "/a?b=c"),
            ("HTTPS://app.local/a#b", "app.local", true, "/a"),
            ("http://app.local?b=c", "app.local", false, "/?b=c"),
            ("wss://app.local", "app.local", true, "/"),
            ("[::1]:80", "[::1]:80", false, "/"),
        ] {
            let inquiry: Inquiry = text.parse().unwrap();
            assert_eq!(
                (&*inquiry.host, inquiry.secure, inquiry.target.as_str()),
                (host, secure, target),
                "{text}"
            );
        }
        for text in ["", "/", "ftp://app.local", "http://", "app.local/a b"] {
            let error = text.parse::<Inquiry>().unwrap_err().to_string();
            assert!(error.contains("is neither a host nor a URL"), "{error}");
        }
    }
}
