//! Whom a request is for.

use super::{Case, Observed, must, ours, refused_or_only, should};
use crate::correctness::observed::ensure;

/// Lines that name no host, or none that can be one.
const REFUSED: &[(&str, &str)] = &[
    ("missing", "X: y\r\n"),
    ("twice-same", "Host: app.test\r\nHost: app.test\r\n"),
    ("twice-different", "Host: app.test\r\nHost: evil.test\r\n"),
    ("twice-other-case", "Host: app.test\r\nHOST: evil.test\r\n"),
    ("twice-one-empty", "Host: app.test\r\nHost:\r\n"),
    ("twice-second-folded", "Host: app.test\r\nX: y\r\nHost: evil.test\r\n"),
    ("space-before-colon", "Host : app.test\r\n"),
];

/// Values that no host has; the grammar of URIs (RFC 3986, 3.2.2).
const INVALID: &[(&str, &str)] = &[
    ("userinfo", "user@app.test"),
    ("path", "app.test/x"),
    ("query", "app.test?x"),
    ("fragment", "app.test#x"),
    ("backslash", "app.test\\x"),
    ("space", "app test"),
    ("tab", "app\ttest"),
    ("comma", "app.test,evil.test"),
    ("list", "app.test, evil.test"),
    ("scheme", "http://app.test"),
    ("port-with-letters", "app.test:80a"),
    ("port-negative", "app.test:-80"),
    ("port-twice", "app.test:80:80"),
    ("port-userinfo", "app.test:80@evil.test"),
    ("bracket-open", "[::1"),
    ("bracket-behind", "[::1]x"),
    ("angle-brackets", "<app.test>"),
    ("quote", "\"app.test\""),
    ("latin-1", "\u{e9}.test"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (name, lines) in REFUSED {
        cases.push(
            must(format!("host-{name}"), "RFC 9112, 3.2")
                .sends(format!("GET / HTTP/1.1\r\n{lines}\r\n"))
                .check(Observed::refused),
        );
    }
    for (name, host) in INVALID {
        cases.push(
            must(format!("host-invalid-{name}"), "RFC 9112, 3.2")
                .sends(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .check(Observed::refused),
        );
    }
    for (name, host) in [
        ("with-port", "app.test:8080"),
        ("address", "127.0.0.1"),
        ("address-6", "[::1]:80"),
        ("upper-case", "APP.test"),
        ("trailing-dot", "app.test."),
    ] {
        cases.push(
            must(format!("host-{name}"), "RFC 9110, 7.2")
                .sends(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .check(move |seen| {
                    let is = seen.only("GET", "/", b"")?.text("host").unwrap_or_default();
                    let bare = host.split(':').next().filter(|_| !host.starts_with('['));
                    // Without its port it names the same host.
                    let same = |known: &str| is.eq_ignore_ascii_case(known);
                    let same =
                        same(host) || bare.is_some_and(same) || same("[::1]") || same("app.test");
                    ensure(same, format!("server sees Host: {is}"))
                }),
        );
    }
    cases.extend(absolute());
    cases
}

fn absolute() -> Vec<Case> {
    let outranks = |seen: &Observed| {
        seen.refused_or(|seen| {
            let request = seen.only("GET", "/x", b"");
            // A server has to take both, and believe this one.
            let request = request.or_else(|_| seen.only("GET", "http://app.test/x", b""))?;
            let host = request.text("host").unwrap_or_default();
            ensure(host == "app.test", format!("server sees Host: {host}"))
        })
    };
    vec![
        must("absolute-form", "RFC 9112, 3.2.2")
            .sends("GET http://app.test/x?y HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| {
                // A server has to take both.
                seen.only("GET", "/x?y", b"")
                    .or_else(|_| seen.only("GET", "http://app.test/x?y", b""))
                    .map(drop)
            }),
        must("absolute-form-without-path", "RFC 9112, 3.2.1")
            .sends("GET http://app.test HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| {
                refused_or_only(seen, ("GET", "/", b""))
                    .or_else(|_| seen.only("GET", "http://app.test", b"").map(drop))
            }),
        must("absolute-form-outranks-host", "RFC 9112, 3.2.2")
            .sends("GET http://app.test/x HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            .check(outranks),
        must("absolute-form-and-empty-host", "RFC 9112, 3.2.2")
            .sends("GET http://app.test/x HTTP/1.1\r\nHost:\r\n\r\n")
            .check(outranks),
        must("absolute-form-without-host", "RFC 9112, 3.2")
            .sends("GET http://app.test/x HTTP/1.1\r\n\r\n")
            .check(Observed::refused),
        should("absolute-form-with-userinfo", "RFC 9110, 4.2.4")
            .sends("GET http://user@app.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(outranks),
        ours("absolute-form-of-https")
            .sends("GET https://app.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("GET", "/x", b""))),
        ours("absolute-form-of-another-scheme")
            .sends("GET ftp://app.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| {
                seen.refused_or(|seen| {
                    seen.clean()?;
                    ensure(seen.requests().len() <= 1, "several requests")
                })
            }),
        must("host-missing-in-http-1.0", "RFC 9112, 3.2")
            .sends("GET / HTTP/1.0\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("GET", "/", b""))),
        ours("host-empty")
            .sends("GET / HTTP/1.1\r\nHost:\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("GET", "/", b""))),
        must("host-named-by-connection", "RFC 9110, 7.6.1")
            .sends("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: host\r\n\r\n")
            .check(|seen| {
                seen.refused_or(|seen| {
                    let host = seen.only("GET", "/", b"")?.text("host").unwrap_or_default();
                    ensure(host == "app.test", format!("server sees Host: {host}"))
                })
            }),
    ]
}
