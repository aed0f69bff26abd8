use ::http::{HeaderMap, Method, Request, Uri, Version, header};

use crate::http::error::Refusal;

/// The host a request is for, without its port; empty for an HTTP/1.0 request
/// that names none.
pub(in crate::http) fn host<B>(request: &Request<B>) -> Result<&str, Refusal> {
    let named = named(request.headers())?;
    let authority = match (request.uri().authority(), named) {
        // The target's authority outranks the header (RFC 9112, section 3.2.2), but
        // who says two things is up to no good.
        (Some(authority), Some(named)) if !is_same(request.uri(), named) => {
            tracing::debug!(authority = authority.host(), "two hosts in one request");
            return Err(Refusal::BadHost);
        }
        // Who knows of `Host` sends it, whatever the target (section 3.2).
        (Some(_), None) if request.version() == Version::HTTP_11 => return Err(Refusal::BadHost),
        (Some(authority), _) => authority.as_str(),
        (None, Some(named)) => named,
        (None, None) if request.version() == Version::HTTP_10 => return Ok(""),
        (None, None) => return Err(Refusal::BadHost),
    };
    without_port(authority).ok_or(Refusal::BadHost)
}

/// What `Host` says, if it is there once.
fn named(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::BadHost);
    }
    first.map(|host| host.to_str().map_err(|_| Refusal::BadHost)).transpose()
}

/// Whether `Host` names the authority of the target, whose port may go without
/// saying.
fn is_same(uri: &Uri, named: &str) -> bool {
    let usual = match uri.scheme_str() {
        Some("https") => ":443",
        _ => ":80",
    };
    let bare = |authority: &str| authority.strip_suffix(usual).map(str::len);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let cut = |text| &text[..bare(text).unwrap_or(text.len())];
    cut(authority).eq_ignore_ascii_case(cut(named))
}

/// A host as clients name it, without a name and a password in front, which are nobody's
/// business. Who names a user is refused, but told of all the same.
pub(in crate::http) fn without_userinfo(authority: &[u8]) -> &[u8] {
    let at = authority.iter().rposition(|&byte| byte == b'@');
    &authority[at.map_or(0, |at| at + 1)..]
}

/// `None` where this isn't a host with or without a port.
pub(in crate::http) fn without_port(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (&authority[..end], &authority[end..])
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    let is_literal = host.starts_with('[');
    let host_is_fine = host.bytes().all(|byte| match byte {
        b'[' | b']' | b':' => is_literal,
        // RFC 3986, section 3.2.2; but a list may be taken for several hosts.
        b',' => false,
        // And nobody agrees on what an escaped one is.
        byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte),
    });
    (port_is_fine && host_is_fine).then_some(host)
}

/// Whether the target has a form that its method may have (RFC 9112, section 3.2):
/// the authority alone is for CONNECT, and `*` for OPTIONS.
pub(in crate::http) fn is_target<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    let is_authority = uri.authority().is_some() && uri.scheme().is_none();
    !is_authority && (uri.path() != "*" || request.method() == Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_or_refused() {
        for (value, expected) in [
            ("app.local", Some("app.local")),
            ("app.local:8080", Some("app.local")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("app.local:", Some("app.local")),
            ("", Some("")),
            ("app.local:80a", None),
            ("[::1", None),
            ("[::1]x", None),
            ("user@app.local", None),
            ("a b", None),
            ("a/b", None),
            ("a\\b", None),
            ("<a>", None),
            ("a\"b", None),
            ("a,b", None),
            ("a%41", None),
            ("a[b]", None),
        ] {
            let request = Request::builder().header("host", value).body(()).unwrap();
            assert_eq!(host(&request).ok(), expected, "{value:?}");
        }
    }

    #[test]
    fn it_is_named_once() {
        let none = Request::builder().body(()).unwrap();
        assert_eq!(host(&none), Err(Refusal::BadHost));
        let old = Request::builder().version(Version::HTTP_10).body(()).unwrap();
        assert_eq!(host(&old), Ok(""));
        let two = Request::builder().header("host", "a").header("host", "a").body(()).unwrap();
        assert_eq!(host(&two), Err(Refusal::BadHost));
    }

    #[test]
    fn a_target_is_of_a_form_for_its_method() {
        for (method, target, expected) in [
            ("GET", "/", true),
            ("GET", "http://a/", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
            ("GET", "a:80", false),
        ] {
            let request = Request::builder().method(method).uri(target).body(()).unwrap();
            assert_eq!(is_target(&request), expected, "{method} {target}");
        }
    }

    #[test]
    fn the_target_and_the_header_agree() {
        for (target, named, expected) in [
            ("http://b:80/x", None, None),
            ("http://b:80/x", Some("B"), Some("b")),
            ("http://b/x", Some("b:80"), Some("b")),
            ("https://b/x", Some("b:443"), Some("b")),
            ("http://b/x", Some("b:443"), None),
            ("http://b:8080/x", Some("b:8080"), Some("b")),
            ("http://b:8080/x", Some("b"), None),
            ("http://b/x", Some("a"), None),
            ("http://b/x", Some(""), None),
        ] {
            let mut request = Request::builder().uri(target);
            if let Some(named) = named {
                request = request.header("host", named);
            }
            let request = request.body(()).unwrap();
            assert_eq!(host(&request).ok(), expected, "{target} {named:?}");
        }
    }
}
