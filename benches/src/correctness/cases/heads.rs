//! Request lines and header lines that are not quite right.

use super::{Case, GET, Observed, get, must, ours, refused_or_only, should};
use crate::correctness::observed::ensure;

/// Lines of a head that make it none.
const NO_FIELDS: &[(&str, &str)] =
    &[("space-before-colon", "X-A : b\r\n"), ("tab-before-colon", "X-A\t: b\r\n")];

/// The same, less strictly: the line may be left out on the way.
const BAD_FIELDS: &[(&str, &str)] = &[
    ("empty-name", ": b\r\n"),
    ("no-colon", "X-A\r\n"),
    ("space-in-name", "X A: b\r\n"),
    ("nul-in-name", "X\0A: b\r\n"),
    ("control-in-name", "X\x01A: b\r\n"),
    ("delete-in-name", "X\x7fA: b\r\n"),
    ("bracket-in-name", "X(A: b\r\n"),
    ("quote-in-name", "X\"A: b\r\n"),
    ("at-in-name", "X@A: b\r\n"),
    ("utf-8-in-name", "X\u{e9}A: b\r\n"),
    ("bare-cr-in-name", "X\rA: b\r\n"),
];

/// Values that are none. What stands there instead may be spaces.
const BAD_VALUES: &[(&str, &str, &[&str])] = &[
    ("nul", "X-A: b\0c\r\n", &["b c"]),
    ("bare-cr", "X-A: b\rc\r\n", &["b c"]),
    ("bare-cr-and-a-field", "X-A: b\rX-B: c\r\n", &["b X-B: c"]),
    ("cr-cr-lf", "X-A: b\r\r\n", &["b"]),
    ("folded", "X-A: b\r\n c\r\n", &["b c", "b  c", "b   c"]),
    ("folded-with-tab", "X-A: b\r\n\tc\r\n", &["b c", "b  c", "b \\tc", "b  \\tc", "b\\tc"]),
    ("folded-at-once", "X-A:\r\n b\r\n", &["b"]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, line) in NO_FIELDS {
        cases.push(
            must(format!("field-{name}"), "RFC 9112, 5.1")
                .sends(get(line))
                .check(Observed::refused),
        );
    }
    for &(name, line) in BAD_FIELDS {
        let case = must(format!("field-{name}"), "RFC 9112, 5");
        cases.push(case.sends(get(line)).check(|seen| refused_or_only(seen, GET)));
    }
    for &(name, line, fine) in BAD_VALUES {
        let case = must(format!("value-{name}"), "RFC 9112, 2.2 and 5.2; RFC 9110, 5.5");
        cases.push(case.sends(get(line)).check(move |seen| {
            seen.refused_or(|seen| {
                let is = seen.only("GET", "/", b"")?.text("x-a");
                let is_fine = is.as_deref().is_none_or(|is| fine.contains(&is));
                ensure(is_fine, format!("server sees {is:?}"))
            })
        }));
    }
    for (name, line) in [
        ("control", "X-A: b\x01c\r\n"),
        ("delete", "X-A: b\x7fc\r\n"),
        ("escape", "X-A: \x1b[2J\r\n"),
    ] {
        let case = ours(format!("value-{name}"));
        cases.push(case.sends(get(line)).check(|seen| refused_or_only(seen, GET)));
    }
    cases.extend(lines());
    cases.extend(versions());
    cases
}

fn lines() -> Vec<Case> {
    let fine = |seen: &Observed| refused_or_only(seen, GET);
    let refused = |name: &str, request: &str| {
        should(format!("line-{name}"), "RFC 9112, 3").sends(request).check(Observed::refused)
    };
    vec![
        must("head-in-bare-lf", "RFC 9112, 2.2")
            .sends("GET / HTTP/1.1\nHost: app.test\n\n")
            .check(fine),
        must("head-one-bare-lf", "RFC 9112, 2.2")
            .sends("GET / HTTP/1.1\r\nHost: app.test\nX-A: b\r\n\r\n")
            .check(fine),
        must("head-ends-in-lf-cr-lf", "RFC 9112, 2.2")
            .sends("GET / HTTP/1.1\r\nHost: app.test\n\r\n")
            .check(fine),
        must("head-in-bare-cr", "RFC 9112, 2.2")
            .sends("GET / HTTP/1.1\rHost: app.test\r\r\n\r\n")
            .check(Observed::refused),
        must("head-space-before-first-field", "RFC 9112, 2.2")
            .sends("GET / HTTP/1.1\r\n X-A: b\r\nHost: app.test\r\n\r\n")
            .check(|seen| {
                seen.refused_or(|seen| {
                    let request = seen.only("GET", "/", b"")?;
                    ensure(request.get("x-a").is_none(), "server sees the line")
                })
            }),
        should("head-after-an-empty-line", "RFC 9112, 2.2")
            .sends([b"\r\n", &get("")[..]].concat())
            .check(|seen| seen.only("GET", "/", b"").map(drop)),
        must("head-after-many-empty-lines", "RFC 9112, 2.2")
            .sends([&b"\r\n".repeat(50)[..], &get("")].concat())
            .check(fine),
        must("head-arrives-byte-by-byte", "RFC 9112, 2.2")
            .act(crate::correctness::Act::Pieces(
                get("X: y\r\n").chunks(1).map(<[u8]>::to_vec).collect(),
            ))
            .check(|seen| seen.only("GET", "/", b"").map(drop)),
        must("line-several-spaces", "RFC 9112, 3")
            .sends("GET  /  HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(fine),
        must("line-tabs", "RFC 9112, 3")
            .sends("GET\t/\tHTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(fine),
        must("line-trailing-space", "RFC 9112, 3")
            .sends("GET / HTTP/1.1 \r\nHost: app.test\r\n\r\n")
            .check(fine),
        must("line-leading-space", "RFC 9112, 3")
            .sends(" GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(fine),
        refused("space-in-target", "GET /a b HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("no-target", "GET HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("empty-target", "GET  HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("nul-in-target", "GET /\0 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("control-in-target", "GET /\x01 HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("bare-cr-in-target", "GET /\rx HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("bracket-in-method", "G(T / HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("nul-in-method", "G\0T / HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        refused("no-path", "GET x HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        must("preface-of-http2-is-not-passed-on", "RFC 9113, 3.4")
            .sends("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .patience(std::time::Duration::from_secs(1))
            .check(Observed::never_whole),
        must("line-not-http-at-all", "RFC 9112, 3")
            .sends("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n")
            .patience(std::time::Duration::from_secs(1))
            .check(Observed::never_whole),
    ]
}

fn versions() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, version) in [
        ("2.0", "HTTP/2.0"),
        ("3.0", "HTTP/3.0"),
        ("0.9", "HTTP/0.9"),
        ("1", "HTTP/1"),
        ("1.11", "HTTP/1.11"),
        ("lower-case", "http/1.1"),
        ("1.1x", "HTTP/1.1x"),
        ("1-comma-1", "HTTP/1,1"),
        ("another-protocol", "HTTPS/1.1"),
    ] {
        cases.push(
            should(format!("version-{name}"), "RFC 9112, 2.3; RFC 9110, 15.6.6")
                .sends(format!("GET / {version}\r\nHost: app.test\r\n\r\n"))
                .check(Observed::refused),
        );
    }
    cases.extend([
        must("version-1.2-is-not-passed-on", "RFC 9110, 2.5")
            .sends("GET / HTTP/1.2\r\nHost: app.test\r\n\r\n")
            .check(|seen| refused_or_only(seen, GET)),
        must("version-of-the-proxy-is-its-own", "RFC 9110, 2.5")
            .sends("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n")
            .check(|seen| {
                seen.refused_or(|seen| {
                    let version = &seen.only("GET", "/", b"")?.version;
                    ensure(version == "HTTP/1.1", format!("server sees {version}"))
                })
            }),
        ours("no-version").sends("GET /\r\n").check(|seen| {
            seen.clean()?;
            ensure(seen.requests().is_empty(), "passed on")
        }),
    ]);
    cases
}
