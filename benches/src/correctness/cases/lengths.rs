//! `Content-Length`, once and wrong, or twice.

use super::{Case, Observed, SMUGGLED, must, post, refused_or_only};

/// The body is `hello`; what is no length can't say so.
const NO_LENGTHS: &[(&str, &str)] = &[
    ("plus", "Content-Length: +5\r\n"),
    ("minus", "Content-Length: -5\r\n"),
    ("minus-zero", "Content-Length: -0\r\n"),
    ("underscore", "Content-Length: 5_0\r\n"),
    ("hexadecimal", "Content-Length: 0x5\r\n"),
    ("octal-prefix", "Content-Length: 0o5\r\n"),
    ("letters", "Content-Length: 5a\r\n"),
    ("fraction", "Content-Length: 5.0\r\n"),
    ("exponent", "Content-Length: 5e0\r\n"),
    ("two-numbers", "Content-Length: 5 5\r\n"),
    ("empty", "Content-Length:\r\n"),
    ("a-word", "Content-Length: five\r\n"),
    ("quoted", "Content-Length: \"5\"\r\n"),
    ("comma-behind", "Content-Length: 5,\r\n"),
    ("semicolon", "Content-Length: 5;\r\n"),
    ("arabic-digit", "Content-Length: \u{665}\r\n"),
    ("nul-behind", "Content-Length: 5\0\r\n"),
    ("vertical-tab", "Content-Length: \x0b5\r\n"),
    ("space-before-colon", "Content-Length : 5\r\n"),
    ("overflow-64-bits", "Content-Length: 18446744073709551621\r\n"),
    ("overflow-32-bits-twice", "Content-Length: 36893488147419103237\r\n"),
    ("forty-digits", "Content-Length: 9999999999999999999999999999999999999999\r\n"),
    ("different-lines", "Content-Length: 5\r\nContent-Length: 6\r\n"),
    ("different-lines-first-longer", "Content-Length: 50\r\nContent-Length: 5\r\n"),
    ("zero-and-five", "Content-Length: 0\r\nContent-Length: 5\r\n"),
    ("different-in-a-list", "Content-Length: 5, 6\r\n"),
    ("one-valid-one-not", "Content-Length: 5\r\nContent-Length: x\r\n"),
    ("same-number-other-spelling", "Content-Length: 5\r\nContent-Length: +5\r\n"),
];

/// The same, if it is taken at all.
const LENGTHS: &[(&str, &str)] = &[
    ("plain", "Content-Length: 5\r\n"),
    ("leading-zeros", "Content-Length: 0005\r\n"),
    ("thirty-leading-zeros", "Content-Length: 0000000000000000000000000000005\r\n"),
    ("tabs-around", "Content-Length:\t5\t\r\n"),
    ("lower-case", "content-length: 5\r\n"),
    ("same-lines", "Content-Length: 5\r\nContent-Length: 5\r\n"),
    ("same-in-a-list", "Content-Length: 5, 5\r\n"),
    ("same-spelled-differently", "Content-Length: 5\r\nContent-Length: 05\r\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let wrong = NO_LENGTHS.iter().map(|&(name, lines)| {
        must(format!("length-{name}"), "RFC 9112, 6.3")
            .sends(post(lines, "hello"))
            .method("POST")
            .check(Observed::refused)
    });
    let right = LENGTHS.iter().map(|&(name, lines)| {
        must(format!("length-{name}"), "RFC 9112, 6.3")
            .sends(post(lines, "hello"))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b"hello")))
    });
    let mut cases: Vec<_> = wrong.chain(right).collect();
    cases.extend([
        must("length-shorter-than-what-follows", "RFC 9112, 6.3")
            .sends(post("Content-Length: 5\r\n", "helloworld"))
            .method("POST")
            .check(|seen| seen.only("POST", "/", b"hello").map(drop)),
        must("length-behind-bare-lf", "RFC 9112, 2.2")
            .sends(post(format!("X: y\nContent-Length: {}\r\n", SMUGGLED.len()), SMUGGLED))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", SMUGGLED.as_bytes()))),
        must("length-named-by-connection", "RFC 9110, 7.6.1")
            .sends(post(
                format!("Connection: content-length\r\nContent-Length: {}\r\n", SMUGGLED.len()),
                SMUGGLED,
            ))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", SMUGGLED.as_bytes()))),
    ]);
    cases
}
