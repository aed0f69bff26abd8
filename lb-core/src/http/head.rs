//! What the proxy changes in the heads of requests and answers.

use std::net::SocketAddr;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{self, Entry},
    request, uri,
};

use super::error::Refusal;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Headers that speak of one connection and not of the message (RFC 9110,
/// section 7.6.1), beside those that `Connection` names.
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The client's side of a connection, as the forwarding headers tell it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: Option<SocketAddr>,
    ip: HeaderValue,
    port: HeaderValue,
}

impl Client {
    /// `peer` is who connected, `local` the address that was connected to.
    pub(super) fn new(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        let value = |text: String| {
            HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
        };
        Self {
            address: peer,
            ip: peer.map_or(HeaderValue::from_static("unknown"), |peer| {
                value(peer.ip().to_canonical().to_string())
            }),
            port: value(local.map_or(80, |local| local.port()).to_string()),
        }
    }
}

/// The host a request is for, without its port; empty for an HTTP/1.0 request
/// that names none.
pub(super) fn host<B>(request: &Request<B>) -> Result<&str, Refusal> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::BadHost);
    }
    // The target's authority outranks the header (RFC 9112, section 3.2.2).
    let authority = match (request.uri().authority(), named) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(named)) => named.to_str().map_err(|_| Refusal::BadHost)?,
        (None, None) if request.version() == Version::HTTP_10 => return Ok(""),
        (None, None) => return Err(Refusal::BadHost),
    };
    without_port(authority).ok_or(Refusal::BadHost)
}

/// `None` where this isn't a host with or without a port.
fn without_port(authority: &str) -> Option<&str> {
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
    let host_is_fine = !host
        .bytes()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'@' | b'?' | b'#' | b','));
    (port_is_fine && host_is_fine).then_some(host)
}

/// Makes the head of a request one of ours: for this hop, in origin form, with
/// the client's address in it. Says whether it asks for an upgrade.
pub(super) fn to_upstream(head: &mut request::Parts, client: &Client, trust: bool) -> bool {
    let upgrade = take_upgrade(&head.headers);
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    if head.uri.authority().is_some() || head.uri.scheme().is_some() {
        head.uri = origin_form(&head.uri);
    }
    head.version = Version::HTTP_11;
    remove_hop_by_hop(&mut head.headers);
    // What CGI programs would take for the variable HTTP_PROXY (httpoxy).
    head.headers.remove("proxy");
    forwarding(&mut head.headers, client, trust);
    if let Some(protocol) = &upgrade {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, protocol.clone());
    }
    upgrade.is_some()
}

/// Makes the head of an answer one of ours.
pub(super) fn to_client(headers: &mut HeaderMap, upgraded: bool) {
    let upgrade = upgraded.then(|| headers.get(header::UPGRADE).cloned()).flatten();
    remove_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// The options that `Connection` lists.
pub(super) fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn take_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    // A tunnel of HTTP/2 would go past routing and everything else here.
    if protocol.to_str().map_or(true, |list| list.to_ascii_lowercase().contains("h2c")) {
        return None;
    }
    connection_tokens(headers)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then(|| protocol.clone())
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            connection_tokens(headers).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            // Framing is not an option of the connection: a message that names
            // it would be cut off from its own length.
            if name != header::CONTENT_LENGTH && name != header::HOST {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(path.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

/// Tells the endpoint who the client is. What the client says of itself counts
/// only if it is a proxy to be trusted.
fn forwarding(headers: &mut HeaderMap, client: &Client, trust: bool) {
    headers.insert(X_REAL_IP, client.ip.clone());
    let host = headers.get(header::HOST).cloned();
    if !trust {
        let hearsay: Vec<_> = headers.keys().filter(|name| is_hearsay(name)).cloned().collect();
        for name in hearsay {
            headers.remove(name);
        }
        headers.insert(X_FORWARDED_FOR, client.ip.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        headers.insert(X_FORWARDED_PORT, client.port.clone());
        if let Some(host) = host {
            headers.insert(X_FORWARDED_HOST, host);
        }
        return;
    }
    append(headers, client);
    let mut default = |name, value| {
        if let Entry::Vacant(entry) = headers.entry(name) {
            entry.insert(value);
        }
    };
    default(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    default(X_FORWARDED_PORT, client.port.clone());
    if let Some(host) = host {
        default(X_FORWARDED_HOST, host);
    }
}

/// What a client may say of itself or of proxies before us, in any spelling that
/// some server takes for it.
fn is_hearsay(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded"
        || name.len() >= 12
            && name.starts_with('x')
            && name[..12]
                .bytes()
                .map(|b| if b == b'_' { b'-' } else { b })
                .eq("x-forwarded-".bytes())
}

/// Adds the client to the end of the chain, as one list.
fn append(headers: &mut HeaderMap, client: &Client) {
    let mut chain = Vec::new();
    for hop in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(hop.as_bytes());
        chain.extend_from_slice(b", ");
    }
    let value = if chain.is_empty() {
        client.ip.clone()
    } else {
        chain.extend_from_slice(client.ip.as_bytes());
        HeaderValue::from_bytes(&chain).unwrap_or_else(|_| client.ip.clone())
    };
    headers.insert(X_FORWARDED_FOR, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new("10.1.2.3:5000".parse().ok(), "10.0.0.1:8080".parse().ok())
    }

    fn sent(request: request::Builder, trust: bool) -> (request::Parts, bool) {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let upgrade = to_upstream(&mut head, &client(), trust);
        (head, upgrade)
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }

    #[test]
    fn the_host_is_read_or_refused() {
        for (value, host) in [
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
        ] {
            let request = Request::builder().header("host", value).body(()).unwrap();
            assert_eq!(super::host(&request).ok(), host, "{value:?}");
        }
    }

    #[test]
    fn the_host_is_named_once() {
        let none = Request::builder().body(()).unwrap();
        assert_eq!(host(&none), Err(Refusal::BadHost));
        let old = Request::builder().version(Version::HTTP_10).body(()).unwrap();
        assert_eq!(host(&old), Ok(""));
        let two = Request::builder().header("host", "a").header("host", "a").body(()).unwrap();
        assert_eq!(host(&two), Err(Refusal::BadHost));
        let absolute =
            Request::builder().uri("http://b:80/x").header("host", "a").body(()).unwrap();
        assert_eq!(host(&absolute), Ok("b"));
    }

    #[test]
    fn what_belongs_to_the_connection_stays_on_it() {
        let (head, upgrade) = sent(
            Request::builder()
                .uri("http://app.local/a?b")
                .header("connection", "keep-alive, X-Secret, content-length")
                .header("keep-alive", "timeout=5")
                .header("x-secret", "1")
                .header("te", "trailers")
                .header("transfer-encoding", "chunked")
                .header("upgrade", "h2c")
                .header("proxy", "http://evil")
                .header("content-length", "5")
                .header("accept", "*/*"),
            false,
        );
        assert!(!upgrade, "an Upgrade that Connection doesn't name is none");
        assert_eq!(head.uri, "/a?b");
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "content-length",
                "host",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-real-ip"
            ]
        );
        assert_eq!(text(&head.headers, "host"), "app.local");
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let (head, upgrade) = sent(
            Request::builder()
                .header("host", "a")
                .header("connection", "Keep-Alive, Upgrade")
                .header("upgrade", "websocket"),
            false,
        );
        assert!(upgrade);
        assert_eq!(text(&head.headers, "connection"), "upgrade");
        assert_eq!(text(&head.headers, "upgrade"), "websocket");
    }

    #[test]
    fn a_tunnel_of_http2_is_not() {
        let request = Request::builder()
            .header("host", "a")
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("http2-settings", "x")
            .header("upgrade", "websocket, H2C");
        let (head, upgrade) = sent(request, false);
        assert!(!upgrade && !head.headers.contains_key("upgrade"));
        assert!(!head.headers.contains_key("http2-settings"));
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let request = || {
            Request::builder()
                .header("host", "app.local:8080")
                .header("x-forwarded-for", "1.1.1.1")
                .header("x-forwarded-for", "2.2.2.2")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "front")
                .header("x-forwarded-prefix", "/admin")
                .header("x_forwarded_ssl", "on")
                .header("forwarded", "for=1.1.1.1")
        };
        let (head, _) = sent(request(), false);
        let of = |name| text(&head.headers, name);
        assert_eq!(of("x-forwarded-for"), "10.1.2.3");
        assert_eq!(of("x-forwarded-proto"), "http");
        assert_eq!(of("x-forwarded-host"), "app.local:8080");
        assert_eq!(of("x-forwarded-port"), "8080");
        assert_eq!(of("x-real-ip"), "10.1.2.3");
        for name in ["forwarded", "x-forwarded-prefix", "x_forwarded_ssl"] {
            assert_eq!(of(name), "-");
        }

        let (head, _) = sent(request(), true);
        let of = |name| text(&head.headers, name);
        assert_eq!(of("x-forwarded-for"), "1.1.1.1, 2.2.2.2, 10.1.2.3");
        assert_eq!(of("x-forwarded-proto"), "https");
        assert_eq!(of("x-forwarded-host"), "front");
        assert_eq!(of("x-real-ip"), "10.1.2.3");
    }
}
