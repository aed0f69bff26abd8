//! Header values on their way to the server, and what it is told of the client.

use super::{Case, get, must, ours, should};
use crate::correctness::observed::ensure;

/// Values that arrive as they were.
const SAME: &[(&str, &[u8])] = &[
    ("spaces-within", b"a  b   c"),
    ("tab-within", b"a\tb"),
    ("latin-1", b"caf\xe9"),
    ("utf-8", "\u{1f980}".as_bytes()),
    ("every-byte-above-127", b"\x80\x90\xa0\xff"),
    ("quotes", b"\"a, b\\\"c\""),
    ("commas", b"a,b, c,,d"),
    ("colon-first", b": a"),
    ("percent", b"%0d%0aX: y"),
    ("empty", b""),
    ("looks-like-a-request", b"GET / HTTP/1.1"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, value) in SAME {
        cases.push(
            must(format!("value-kept-{name}"), "RFC 9110, 5.5")
                .sends(get([b"X-A: ", value, b"\r\n"].concat()))
                .check(move |seen| {
                    let request = seen.only("GET", "/", b"")?;
                    ensure(
                        request.get("x-a") == Some(value),
                        format!("server sees {:?}", request.text("x-a")),
                    )
                }),
        );
        cases.push(
            must(format!("answer-value-kept-{name}"), "RFC 9110, 5.5")
                .sends(get(""))
                .answered(super::answer(
                    [b"Content-Length: 2\r\nX-A: ", value, b"\r\n"].concat(),
                    "ok",
                ))
                .check(move |seen| {
                    let answer = seen.status(0, 200)?;
                    ensure(
                        answer.get("x-a") == Some(value),
                        format!("client sees {:?}", answer.text("x-a")),
                    )
                }),
        );
    }
    cases.extend([
        must("repeated-headers-keep-their-order", "RFC 9110, 5.3")
            .sends(get("X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nx-a: 4\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                let is = request.text("x-a");
                ensure(is.as_deref() == Some("1, 3, 4"), format!("server sees {is:?}"))
            }),
        must("unknown-headers-are-passed-on", "RFC 9110, 5.1")
            .sends(get("X-Never-Heard-Of: 1\r\nx: 2\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                let there = request.get("x-never-heard-of") == Some(b"1");
                ensure(there && request.get("x") == Some(b"2"), "lost")
            }),
        should("headers-of-odd-names-are-passed-on", "RFC 9110, 5.1")
            .sends(get("!#$%&'*+-.^`|~: 3\r\n"))
            .check(|seen| {
                seen.refused_or(|seen| {
                    let request = seen.only("GET", "/", b"")?;
                    ensure(request.get("!#$%&'*+-.^`|~") == Some(b"3"), "lost")
                })
            }),
        must("credentials-are-passed-on", "RFC 9110, 11.6.2")
            .sends(get("Authorization: Basic eDp5\r\nCookie: a=b; c=\"d\"\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                ensure(request.get("authorization") == Some(b"Basic eDp5"), "Authorization is lost")?;
                ensure(request.get("cookie") == Some(b"a=b; c=\"d\""), "Cookie is another one")
            }),
        must("ranges-and-conditions-are-passed-on", "RFC 9110, 13 and 14")
            .sends(get("Range: bytes=0-1\r\nIf-Range: \"x\"\r\nIf-None-Match: \"a\", W/\"b\"\r\nAccept-Encoding: gzip, br;q=0.5\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                ensure(request.get("range") == Some(b"bytes=0-1") && request.get("if-range") == Some(b"\"x\""), "the range is lost")?;
                ensure(request.get("if-none-match") == Some(b"\"a\", W/\"b\""), "the condition is lost")?;
                let codings = request.text("accept-encoding");
                ensure(codings.as_deref() == Some("gzip, br;q=0.5"), format!("server sees {codings:?}"))
            }),
        ours("forwarded-for-tells-the-client")
            .sends(get(""))
            .check(|seen| {
                let is = seen.only("GET", "/", b"")?.text("x-forwarded-for");
                ensure(is.as_deref() == Some("127.0.0.1"), format!("server sees {is:?}"))
            }),
        ours("forwarded-for-ends-with-who-connected")
            .sends(get("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n"))
            .check(|seen| {
                let is = seen.only("GET", "/", b"")?.text("x-forwarded-for").unwrap_or_default();
                let strangers = is.ends_with("6.6.6.6") || is.ends_with("7.7.7.7");
                ensure(!is.is_empty() && !strangers, format!("server sees {is}"))
            }),
        ours("forwarded-for-of-strangers-is-replaced")
            .sends(get("X-Forwarded-For: 6.6.6.6\r\n"))
            .check(|seen| {
                let is = seen.only("GET", "/", b"")?.text("x-forwarded-for").unwrap_or_default();
                ensure(is == "127.0.0.1", format!("server sees {is}"))
            }),
        ours("forwarded-of-strangers-is-not-passed-on")
            .sends(get("Forwarded: for=6.6.6.6\r\n"))
            .check(|seen| {
                let is = seen.only("GET", "/", b"")?.text("forwarded").unwrap_or_default();
                ensure(!is.contains("6.6.6.6"), format!("server sees {is}"))
            }),
        ours("forwarded-proto-of-strangers-is-replaced")
            .sends(get("X-Forwarded-Proto: https\r\n"))
            .check(|seen| {
                let is = seen.only("GET", "/", b"")?.text("x-forwarded-proto").unwrap_or_default();
                ensure(is != "https", "server sees https")
            }),
        ours("underscores-are-no-way-round")
            .sends(get("X_Forwarded_For: 6.6.6.6\r\n"))
            .check(|seen| {
                let seen = seen.only("GET", "/", b"")?;
                ensure(seen.get("x_forwarded_for").is_none(), "server sees X_Forwarded_For")
            }),
        ours("proxy-is-removed")
            .sends(get("Proxy: http://evil.test\r\n"))
            .check(|seen| {
                ensure(seen.only("GET", "/", b"")?.get("proxy").is_none(), "server sees Proxy")
            }),
    ]);
    cases
}
