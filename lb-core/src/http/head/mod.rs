//! What the proxy changes in the heads of requests and answers.

mod hop;
mod host;

use ::http::{HeaderMap, HeaderValue, Request, Uri, Version, header, request, uri};

use http_body::Body;

use super::{
    client::Client,
    forwarding::{Forwarding, Word},
};
use hop::Hop;

pub(super) use hop::{connection_tokens, is_plainly_framed};
pub(super) use host::{host, is_target, without_port, without_userinfo};

/// Makes the head of a request one of ours: for this hop, in origin form, with
/// the client's address in it, and what its `word` counts for. Returns whether it asks for
/// an upgrade.
pub(super) fn to_upstream(
    head: &mut request::Parts,
    client: &Client,
    word: Word,
    forwarding: &Forwarding,
) -> bool {
    let hop = Hop::of(&head.headers);
    let upgrade = hop.upgrade.is_some();
    let host = head.uri.authority().map(uri::Authority::as_str);
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        head.headers.insert(header::HOST, host);
    } else if !head.headers.contains_key(header::HOST) {
        // Who speaks HTTP/1.1 names one, and be it nobody (RFC 9112, section 3.2).
        head.headers.insert(header::HOST, HeaderValue::from_static(""));
    }
    if head.uri.authority().is_some() || head.uri.scheme().is_some() {
        head.uri = origin_form(&head.uri);
    }
    hop.replace(&mut head.headers);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
        say_length_once(&mut head.headers);
    }
    // What CGI programs would take for the variable HTTP_PROXY (httpoxy).
    head.headers.remove("proxy");
    let target = head.uri.path_and_query();
    forwarding.to_upstream(&mut head.headers, client, word, head.version, target);
    head.version = Version::HTTP_11;
    upgrade
}

/// HTTP/2 cuts the line of cookies to pieces, which are one line for everybody else
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (pieces.next(), pieces.next()) {
        let mut line = first.as_bytes().to_vec();
        for piece in [second].into_iter().chain(pieces) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(piece.as_bytes());
        }
        // Made of values, it is one.
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            headers.insert(header::COOKIE, line);
        }
    }
}

/// Makes a request that was about to go to an endpoint one of HTTP/1.1.
pub(super) fn to_http1<B: Body>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    // It was made one of HTTP/2 and came back.
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = origin_form(request.uri());
    *request.version_mut() = Version::HTTP_11;
    if !request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
    }
}

/// Makes it one of HTTP/2, which has no connection to speak of, and no upgrades; for a
/// connection that is `secure` or not.
pub(super) fn to_http2<B>(request: &mut Request<B>, secure: bool) {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    // Who names no host is still to be somewhere.
    let host = host.filter(|host| !host.is_empty()).unwrap_or(b"localhost");
    // It may have been one of HTTP/2 before, and come back.
    let authority = request.uri().authority().cloned();
    let mut parts = uri::Parts::default();
    parts.scheme = Some(if secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    parts.authority = authority.or_else(|| uri::Authority::try_from(host).ok());
    parts.path_and_query = request.uri().path_and_query().cloned();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    headers.remove(header::CONNECTION);
    headers.remove(header::UPGRADE);
    headers.remove(header::TRANSFER_ENCODING);
}

/// Makes the head of an answer one of ours.
pub(super) fn to_client(headers: &mut HeaderMap, upgraded: bool) {
    let upgrade = upgraded.then(|| headers.get(header::UPGRADE).cloned()).flatten();
    Hop::default().replace(headers);
    say_length_once(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// The same length may be said several times (RFC 9110, section 8.6), which not all
/// understand.
fn say_length_once(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let list = first.as_bytes();
    let end = list.iter().position(|&byte| byte == b',');
    if end.is_some() || lengths.next().is_some() {
        let one = list[..end.unwrap_or(list.len())].trim_ascii();
        if let Ok(one) = HeaderValue::from_bytes(one) {
            headers.insert(header::CONTENT_LENGTH, one);
        }
    }
}

/// Counts down how often OPTIONS may be passed on, if it says so; not at all if it
/// comes to nothing (RFC 9110, section 7.6.2).
pub(super) fn may_go_on(headers: &mut HeaderMap) -> bool {
    let Some(left) = headers.get_mut(header::MAX_FORWARDS) else { return true };
    match left.to_str().ok().and_then(|left| left.parse::<u32>().ok()) {
        Some(0) => false,
        Some(more) => {
            *left = HeaderValue::from(more - 1);
            true
        }
        // Who can't be understood can't ask for anything.
        None => true,
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(path.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ::http::HeaderName;

    use super::*;

    fn sent(request: request::Builder) -> (request::Parts, bool) {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let client = Client::new("10.1.2.3:5000".parse().ok(), None);
        let mut forwarding = Forwarding::default();
        (forwarding.request_id, forwarding.trace) = (false, false);
        let word = forwarding.word(&head.headers, &client);
        let upgrade = to_upstream(&mut head, &client, word, &forwarding);
        (head, upgrade)
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }

    #[test]
    fn what_belongs_to_the_connection_stays_on_it() {
        let (head, upgrade) = sent(
            Request::builder()
                .uri("http://app.local/a?b")
                .header("connection", "keep-alive, X-Secret, content-length")
                .header("keep-alive", "timeout=5")
                .header("x-secret", "1")
                .header("te", "deflate")
                .header("upgrade", "h2c")
                .header("proxy", "http://evil")
                .header("content-length", "5")
                .header("accept", "*/*"),
        );
        assert!(!upgrade, "an Upgrade that Connection doesn't name is none");
        assert_eq!(head.uri, "/a?b");
        let told = |name: &&str| !name.starts_with("x-");
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).filter(told).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-length", "host"]);
        assert!(!head.headers.contains_key("x-secret"));
        assert_eq!(text(&head.headers, "host"), "app.local");
    }

    #[test]
    fn a_length_beside_chunks_is_none() {
        let both = Request::builder()
            .header("host", "a")
            .header("transfer-encoding", "chunked")
            .header("content-length", "5");
        let (head, _) = sent(both);
        assert!(!head.headers.contains_key("content-length"));
        let mut headers = HeaderMap::new();
        headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        headers.insert("content-length", HeaderValue::from_static("5"));
        to_client(&mut headers, false);
        assert!(headers.is_empty());
    }

    #[test]
    fn chunks_are_announced_whatever_the_method() {
        let request = || Request::get("/").header("host", "a");
        let (head, _) = sent(request().header("transfer-encoding", "Chunked"));
        assert_eq!(text(&head.headers, "transfer-encoding"), "chunked");
        assert_eq!(text(&sent(request()).0.headers, "transfer-encoding"), "-");
    }

    #[test]
    fn a_length_is_said_once() {
        for lengths in [&["5"][..], &["5, 5"], &["5", "5"], &["5 ,5", "5"]] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append("content-length", length.parse().unwrap());
            }
            to_client(&mut headers, false);
            let said: Vec<_> = headers.get_all("content-length").iter().collect();
            assert_eq!(said, ["5"], "{lengths:?}");
        }
    }

    #[test]
    fn trailers_are_passed_on_by_who_takes_them() {
        let (head, _) = sent(
            Request::builder()
                .header("host", "a")
                .header("te", "gzip;q=0.5, Trailers")
                .header("trailer", "x-sum"),
        );
        assert_eq!(text(&head.headers, "te"), "trailers");
        assert_eq!(text(&head.headers, "connection"), "te");
        assert_eq!(text(&head.headers, "trailer"), "x-sum");
        let (head, _) = sent(Request::builder().header("host", "a").header("te", "gzip"));
        assert_eq!((text(&head.headers, "te"), text(&head.headers, "connection")), ("-", "-"));
    }

    #[test]
    fn only_one_coding_is_everybodys() {
        for (codings, expected) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked;x"], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append("transfer-encoding", HeaderValue::from_static(coding));
            }
            assert_eq!(is_plainly_framed(&headers), expected, "{codings:?}");
        }
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let (head, upgrade) = sent(
            Request::builder()
                .header("host", "a")
                .header("connection", "Keep-Alive, Upgrade")
                .header("upgrade", "websocket"),
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
        let (head, upgrade) = sent(request);
        assert!(!upgrade && !head.headers.contains_key("upgrade"));
        assert!(!head.headers.contains_key("http2-settings"));
    }

    #[test]
    fn the_ways_left_are_counted() {
        for (given, expected, left) in
            [("1", true, "0"), ("0", false, "0"), ("x", true, "x"), ("-1", true, "-1")]
        {
            let mut headers = HeaderMap::new();
            headers.insert("max-forwards", HeaderValue::from_static(given));
            assert_eq!(
                (may_go_on(&mut headers), &headers["max-forwards"]),
                (expected, &left.parse().unwrap())
            );
        }
        assert!(may_go_on(&mut HeaderMap::new()));
    }

    #[test]
    fn what_comes_back_unsent_is_for_the_same_host() {
        let mut request = Request::post("/a?b").header("host", "app.local:81");
        request = request.header("connection", "te").header("te", "trailers");
        let mut request = request.body(String::from("x")).unwrap();
        for (secure, uri) in
            [(false, "http://app.local:81/a?b"), (true, "https://app.local:81/a?b")]
        {
            to_http2(&mut request, secure);
            assert_eq!(request.uri(), uri);
            assert!(!request.headers().contains_key("host"));
        }
        to_http1(&mut request);
        assert_eq!(
            (request.uri().to_string(), request.version()),
            ("/a?b".into(), Version::HTTP_11)
        );
        assert_eq!(text(request.headers(), "host"), "app.local:81");
        assert_eq!(text(request.headers(), "transfer-encoding"), "chunked");
    }

    #[test]
    fn cookies_are_one_line_again() {
        let cut = |version| {
            let request = Request::builder().version(version).header("host", "a");
            sent(request.header("cookie", "a=1").header("cookie", "b=2").header("cookie", "c"))
        };
        let lines = |head: &request::Parts| head.headers.get_all("cookie").iter().count();
        let (joined, _) = cut(Version::HTTP_2);
        assert_eq!((lines(&joined), text(&joined.headers, "cookie")), (1, "a=1; b=2; c"));
        assert_eq!(lines(&cut(Version::HTTP_11).0), 3, "as the client sent them");
    }

    #[test]
    fn who_names_no_host_is_given_none() {
        let (head, _) = sent(Request::builder().version(Version::HTTP_10));
        assert_eq!((text(&head.headers, "host"), head.version), ("", Version::HTTP_11));
    }
}
