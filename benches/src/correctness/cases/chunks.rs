//! Bodies in chunks.

use std::time::Duration;

use super::{Case, Level, Observed, SMUGGLED, chunked, must, post, refused_or_only};
use crate::correctness::case::Act;

/// These are no chunks, or not the whole of a body.
const BROKEN: &[(&str, &str)] = &[
    ("size-plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("size-minus", "-5\r\nhello\r\n0\r\n\r\n"),
    ("size-0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("size-underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("size-empty", "\r\nhello\r\n0\r\n\r\n"),
    ("size-letters", "g\r\nhello\r\n0\r\n\r\n"),
    ("size-quoted", "\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("size-comma", "5,\r\nhello\r\n0\r\n\r\n"),
    ("size-leading-space", " 5\r\nhello\r\n0\r\n\r\n"),
    ("size-nul", "5\0\r\nhello\r\n0\r\n\r\n"),
    ("size-vertical-tab", "5\x0b\r\nhello\r\n0\r\n\r\n"),
    ("size-overflow-64-bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("size-overflow-far", "fffffffffffffffffffffffffffffff5\r\nhello\r\n0\r\n\r\n"),
    ("size-bare-cr", "5\rhello\r\n0\r\n\r\n"),
    ("size-bare-cr-in-extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("no-end-of-data", "5\r\nhello0\r\n\r\n"),
    ("data-longer-than-size", "5\r\nhelloworld\r\n0\r\n\r\n"),
    ("data-shorter-than-size", "7\r\nhello\r\n0\r\n\r\n"),
    ("garbage-behind-data", "5\r\nhelloX\r\n0\r\n\r\n"),
    ("two-bytes-behind-data", "5\r\nhelloXX0\r\n\r\n"),
    ("cr-cr-behind-data", "5\r\nhello\r\r0\r\n\r\n"),
    ("lf-cr-behind-data", "5\r\nhello\n\r0\r\n\r\n"),
];

/// These are the chunks of `hello`.
const WHOLE: &[(&str, &str)] = &[
    ("plain", "5\r\nhello\r\n0\r\n\r\n"),
    ("several", "1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n"),
    ("leading-zeros", "0005\r\nhello\r\n000\r\n\r\n"),
    ("extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
    ("extension-quoted", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
];

/// These are too, for who forgives much.
const SLOPPY: &[(&str, &str)] = &[
    ("twenty-leading-zeros", "00000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("trailing-space", "5 \r\nhello\r\n0\r\n\r\n"),
    ("trailing-tab", "5\t\r\nhello\r\n0\r\n\r\n"),
    ("space-before-extension", "5 ;a\r\nhello\r\n0\r\n\r\n"),
    ("nul-in-extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
    ("two-numbers", "5 5\r\nhello\r\n0\r\n\r\n"),
    ("empty-extension", "5;\r\nhello\r\n0\r\n\r\n"),
    ("quote-open", "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
];

/// These with a line that ends in LF alone.
const BARE_LF: &[(&str, &str)] = &[
    ("behind-size", "5\nhello\r\n0\r\n\r\n"),
    ("behind-data", "5\r\nhello\n0\r\n\r\n"),
    ("in-extension", "5;a\nhello\r\n0\r\n\r\n"),
    ("behind-last-size", "5\r\nhello\r\n0\n\r\n"),
    ("at-the-end", "5\r\nhello\r\n0\r\n\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |level, name: &str, body: &str| {
        let case = Case::new(level, format!("chunk-{name}"), "RFC 9112, 7.1");
        case.sends(chunked(body)).method("POST")
    };
    let whole = |seen: &Observed| seen.only("POST", "/", b"hello").map(drop);
    let refused_or_whole = |seen: &Observed| refused_or_only(seen, ("POST", "/", b"hello"));
    let mut cases: Vec<Case> = Vec::new();
    for (name, body) in BROKEN {
        cases.push(case(Level::Must, name, body).check(Observed::refused));
    }
    for (name, body) in WHOLE {
        cases.push(case(Level::Must, name, body).check(whole));
    }
    for (name, body) in SLOPPY {
        cases.push(case(Level::Must, name, body).check(refused_or_whole));
    }
    for (name, body) in BARE_LF {
        // Who doesn't take it for the end of a line waits for that.
        let case = |level, name: &str| case(level, name, body).patience(Duration::from_secs(1));
        let safe = |seen: &Observed| seen.only_of(&[("POST", "/", b"hello")]);
        cases.push(case(Level::Must, &format!("bare-lf-{name}-is-safe")).check(safe));
        cases.push(case(Level::Should, &format!("bare-lf-{name}")).check(Observed::never_whole));
    }
    cases.extend([
        must("chunk-extension-hides-a-request", "RFC 9112, 7.1.1")
            .sends(chunked(format!("0;a\n{SMUGGLED}0\r\n\r\n")))
            .method("POST")
            .check(|seen| seen.only_of(&[("POST", "/", b"")])),
        must("chunk-extension-is-huge", "RFC 9112, 7.1.1")
            .sends(chunked(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(200_000))))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b"hello"))),
        must("chunks-one-byte-each", "RFC 9112, 7.1")
            .sends(chunked(format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(2000))))
            .method("POST")
            .check(|seen| seen.only("POST", "/", &[b'x'; 2000]).map(drop)),
        must("chunk-of-half-a-megabyte", "RFC 9112, 7.1")
            .sends(chunked(format!("80000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x80000))))
            .method("POST")
            .check(|seen| seen.only("POST", "/", &[b'x'; 0x80000]).map(drop)),
        must("chunks-arrive-byte-by-byte", "RFC 9112, 7.1")
            .act(Act::Pieces(
                chunked("5\r\nhello\r\n0\r\n\r\n").chunks(1).map(<[u8]>::to_vec).collect(),
            ))
            .method("POST")
            .check(|seen| seen.only("POST", "/", b"hello").map(drop)),
        must("chunks-of-a-head", "RFC 9112, 6.3")
            .sends("HEAD / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .method("HEAD")
            .check(|seen| refused_or_only(seen, ("HEAD", "/", b"hello"))),
        must("chunks-of-a-delete", "RFC 9112, 6.3")
            .sends("DELETE / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .method("DELETE")
            .check(|seen| refused_or_only(seen, ("DELETE", "/", b"hello"))),
        must("chunks-of-options", "RFC 9112, 6.3")
            .sends("OPTIONS /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .method("OPTIONS")
            .check(|seen| refused_or_only(seen, ("OPTIONS", "/a", b"hello"))),
        must("chunks-none-of-a-post", "RFC 9112, 7.1")
            .sends(chunked("0\r\n\r\n"))
            .method("POST")
            .check(|seen| seen.only("POST", "/", b"").map(drop)),
        must("chunks-of-a-get", "RFC 9112, 6.3")
            .sends("GET / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("GET", "/", b"hello"))),
    ]);
    cases.extend(cut_off());
    cases
}

/// What is not all there is never passed on as if it were.
fn cut_off() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, request) in [
        ("by-length", post("Content-Length: 10\r\n", "hello")),
        ("by-chunks", chunked("5\r\nhello\r\n")),
        ("within-a-chunk", chunked("a\r\nhello")),
        ("within-the-end", chunked("5\r\nhello\r\n0\r\n")),
    ] {
        for (how, act) in [("closed", Act::HalfClose), ("reset", Act::Abort)] {
            cases.push(
                must(format!("request-cut-off-{name}-{how}"), "RFC 9112, 8")
                    .sends(&request)
                    .act(Act::Pause)
                    .act(act)
                    .method("POST")
                    .check(Observed::never_whole),
            );
        }
    }
    cases
}
