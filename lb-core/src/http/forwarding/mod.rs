//! What endpoints are told of the client and of proxies before this one.

mod ids;
mod trust;

use std::net::IpAddr;

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{self, Entry},
    uri::PathAndQuery,
};

use super::client::{Client, value_of};

pub(super) use ids::{Traced, X_REQUEST_ID, is_request_id};
pub use trust::{Trust, TrustError};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What the word of a client counts for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    /// Whether it is believed.
    pub(super) believed: bool,
    /// Who it says the client is, if that isn't who connected.
    pub(super) origin: Option<IpAddr>,
}

/// Which headers tell endpoints about clients. `X-Forwarded-For`, `-Host`,
/// `-Proto`, `-Port` and `-Ssl`, `X-Real-IP` and `X-Original-URI` always do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarding {
    /// Whose word about earlier clients is passed on; nobody's. What others say
    /// is replaced.
    pub trust: Trust,
    /// Whether there is a `Forwarded` (RFC 7239) as well; no.
    pub forwarded: bool,
    /// The name by which this proxy enters itself in `Via` (RFC 9110, section
    /// 7.6.3), of requests and of answers; it doesn't.
    pub via: Option<String>,
    /// Whether requests without an `X-Request-Id` are given one; yes.
    pub request_id: bool,
    /// Whether requests without a `traceparent` (W3C Trace Context) are given one;
    /// yes.
    pub trace: bool,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self { trust: Trust::nobody(), forwarded: false, via: None, request_id: true, trace: true }
    }
}

impl Forwarding {
    /// What this client's word counts for, as it came in `headers`.
    pub(super) fn word(&self, headers: &HeaderMap, client: &Client) -> Word {
        let believed = self.believes(client);
        let origin = if believed { self.trust.origin(headers) } else { None };
        Word { believed, origin }
    }

    /// Completes the headers of a request that came in `version` and asked for
    /// `target`, from a client whose `word` counts for this.
    pub(super) fn to_upstream(
        &self,
        headers: &mut HeaderMap,
        client: &Client,
        word: Word,
        version: Version,
        target: Option<&PathAndQuery>,
    ) {
        if !word.believed {
            let hearsay: Vec<_> = headers.keys().filter(|name| is_hearsay(name)).cloned().collect();
            for name in hearsay {
                headers.remove(name);
            }
        }
        append(headers, X_FORWARDED_FOR, client.ip.clone());
        default(headers, X_FORWARDED_PROTO, || HeaderValue::from_static(client.scheme()));
        default(headers, X_FORWARDED_PORT, || client.port.clone());
        if let Some(host) = headers.get(header::HOST).cloned() {
            default(headers, X_FORWARDED_HOST, || host);
        }
        let secure = headers.get(X_FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        let ssl = HeaderValue::from_static(if secure { "on" } else { "off" });
        headers.insert(X_FORWARDED_SSL, ssl);
        let ip = word.origin.map_or_else(|| client.ip.clone(), value_of);
        headers.insert(X_REAL_IP, ip);
        let target = target.map_or("/", PathAndQuery::as_str);
        if let Ok(target) = HeaderValue::from_str(target) {
            headers.insert(X_ORIGINAL_URI, target);
        }
        if self.forwarded
            && let Ok(element) = HeaderValue::from_bytes(&forwarded(headers, client))
        {
            append(headers, header::FORWARDED, element);
        }
        self.enter(headers, version);
    }

    /// Whether what this client says counts.
    pub(super) fn believes(&self, client: &Client) -> bool {
        client.address.is_some_and(|peer| self.trust.believes(peer.ip()))
    }

    /// Whether a proxy in front that is believed says that its client speaks TLS.
    #[cfg(feature = "tls")]
    pub(super) fn says_secure(&self, headers: &HeaderMap, client: &Client) -> bool {
        headers.get(X_FORWARDED_PROTO).is_some_and(|proto| proto == "https")
            && self.believes(client)
    }

    /// Enters this proxy in the `Via` of a message that came in `version`.
    pub(super) fn enter(&self, headers: &mut HeaderMap, version: Version) {
        if let Some(name) = &self.via {
            let version = match version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            };
            if let Ok(element) = HeaderValue::try_from(format!("{version} {name}")) {
                append(headers, header::VIA, element);
            }
        }
    }
}

/// What a client may say of itself or of proxies before us, in any spelling that
/// some server takes for it.
fn is_hearsay(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let (Some(b'x' | b'f'), 9..) = (name.first(), name.len()) else { return false };
    let is = |known: &str, part: &[u8]| {
        let spelled = part.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte });
        spelled.eq(known.bytes())
    };
    is("x-forwarded-", &name[..name.len().min(12)])
        || ["forwarded", "x-real-ip", "x-original-uri"].iter().any(|known| is(known, name))
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
    if let Entry::Vacant(entry) = headers.entry(name) {
        entry.insert(value());
    }
}

/// Adds an element to the end of a list, as one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, element);
        return;
    }
    let mut list = Vec::new();
    for line in headers.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    // Made of values, it is one.
    headers.insert(name, HeaderValue::from_bytes(&list).unwrap_or(element));
}

/// This hop as an element of `Forwarded`.
fn forwarded(headers: &HeaderMap, client: &Client) -> Vec<u8> {
    let mut element = Vec::new();
    let mut pair = |name: &str, value: &[u8]| {
        if !element.is_empty() {
            element.push(b';');
        }
        element.extend_from_slice(name.as_bytes());
        element.push(b'=');
        let is_token = value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
        if is_token && !value.is_empty() {
            element.extend_from_slice(value);
            return;
        }
        element.push(b'"');
        for &byte in value {
            if matches!(byte, b'"' | b'\\') {
                element.push(b'\\');
            }
            element.push(byte);
        }
        element.push(b'"');
    };
    match client.address.map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V6(ip)) => pair("for", format!("[{ip}]").as_bytes()),
        _ => pair("for", client.ip.as_bytes()),
    }
    if let Some(host) = headers.get(header::HOST) {
        pair("host", host.as_bytes());
    }
    pair("proto", client.scheme().as_bytes());
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str) -> Client {
        Client::new(peer.parse().ok(), "10.0.0.1:8080".parse().ok())
    }

    fn plain() -> Forwarding {
        Forwarding { request_id: false, trace: false, ..Forwarding::default() }
    }

    fn told(
        forwarding: &Forwarding,
        peer: &str,
        given: &[(&str, &str)],
    ) -> (Vec<(String, String)>, Option<IpAddr>) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let target = PathAndQuery::from_static("//a/%2F?b");
        let client = client(peer);
        let word = forwarding.word(&headers, &client);
        forwarding.to_upstream(&mut headers, &client, word, Version::HTTP_11, Some(&target));
        let mut told: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        told.sort_unstable();
        (told, word.origin)
    }

    fn of<'a>(told: &'a [(String, String)], name: &str) -> &'a str {
        told.iter().find(|(known, _)| known == name).map_or("-", |(_, value)| value)
    }

    /// All the ways to say something of oneself.
    const HEARSAY: &[(&str, &str)] = &[
        ("host", "app.local:8080"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front"),
        ("x-forwarded-prefix", "/admin"),
        ("x_forwarded_ssl", "on"),
        ("x-forwarded-ssl", "on"),
        ("x-real-ip", "6.6.6.6"),
        ("x_real_ip", "6.6.6.6"),
        ("x-original-uri", "/admin"),
        ("forwarded", "for=6.6.6.6"),
    ];

    #[test]
    fn a_stranger_is_not_believed() {
        let (told, origin) = told(&plain(), "10.1.2.3:5000", HEARSAY);
        let expected = [
            ("host", "app.local:8080"),
            ("x-forwarded-for", "10.1.2.3"),
            ("x-forwarded-host", "app.local:8080"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-ssl", "off"),
            ("x-original-uri", "//a/%2F?b"),
            ("x-real-ip", "10.1.2.3"),
        ];
        let told: Vec<_> = told.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!((&told[..], origin), (&expected[..], None));
    }

    #[test]
    fn a_proxy_of_ones_own_is() {
        let forwarding = Forwarding { trust: Trust::everybody(), ..plain() };
        let (told, origin) = told(&forwarding, "10.1.2.3:5000", HEARSAY);
        for (name, expected) in [
            ("x-forwarded-for", "203.0.113.9, 10.9.9.9, 10.1.2.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-ssl", "on"),
            ("x-forwarded-host", "front"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-prefix", "/admin"),
            ("x-real-ip", "10.1.2.3"),
            ("x-original-uri", "//a/%2F?b"),
        ] {
            assert_eq!(of(&told, name), expected, "{name}");
        }
        assert_eq!(origin, None, "the chain may begin with anything");
    }

    #[test]
    fn one_of_known_networks_tells_who_the_client_is() {
        let forwarding = Forwarding { trust: "10.0.0.0/8".parse().unwrap(), ..plain() };
        let (known, origin) = told(&forwarding, "10.1.2.3:5000", HEARSAY);
        assert_eq!(origin, "203.0.113.9".parse().ok());
        assert_eq!(of(&known, "x-real-ip"), "203.0.113.9");
        assert_eq!(of(&known, "x-forwarded-for"), "203.0.113.9, 10.9.9.9, 10.1.2.3");
        let (unknown, origin) = told(&forwarding, "192.0.2.1:5000", HEARSAY);
        assert_eq!((origin, of(&unknown, "x-forwarded-for")), (None, "192.0.2.1"));
    }

    #[test]
    fn forwarded_says_it_in_the_standards_words() {
        let forwarding = Forwarding { forwarded: true, ..plain() };
        let of_peer = |peer, given: &[(&str, &str)]| {
            of(&told(&forwarding, peer, given).0, "forwarded").to_owned()
        };
        let given = [("host", "app.local"), ("forwarded", "for=6.6.6.6")];
        assert_eq!(of_peer("10.1.2.3:1", &given), "for=10.1.2.3;host=app.local;proto=http");
        let given = [("host", "a\"b:80")];
        assert_eq!(
            of_peer("[2001:db8::1]:1", &given),
            r#"for="[2001:db8::1]";host="a\"b:80";proto=http"#
        );
        let forwarding = Forwarding { trust: Trust::everybody(), ..forwarding };
        let (told, _) = told(&forwarding, "10.1.2.3:1", &[("forwarded", "for=6.6.6.6")]);
        assert_eq!(of(&told, "forwarded"), "for=6.6.6.6, for=10.1.2.3;proto=http");
    }

    #[test]
    fn via_names_who_was_on_the_way() {
        let forwarding = Forwarding { via: Some("lb".into()), ..plain() };
        let (told, _) = told(&forwarding, "10.1.2.3:1", &[("via", "1.0 cache")]);
        assert_eq!(of(&told, "via"), "1.0 cache, 1.1 lb");
        let mut headers = HeaderMap::new();
        forwarding.enter(&mut headers, Version::HTTP_2);
        assert_eq!(headers[header::VIA], "2 lb");
    }
}
