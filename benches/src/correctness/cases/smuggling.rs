//! Two ways to tell where a request ends, and lines that only some take for one.

use super::{Case, SMUGGLED, must, post, refused_or_only};
use crate::correctness::observed::{Expected, Observed};

/// Where the body may be seen to end, if the request isn't refused.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Nowhere,
    ByChunks,
    ByLength,
}

use Ends::{ByChunks, ByLength, Nowhere};

/// Lines that are a `Transfer-Encoding` for some. A `Content-Length` stands before
/// them, and by that the body is everything up to the end.
const SPELLINGS: &[(&str, &str, Ends)] = &[
    ("plain", "Transfer-Encoding: chunked\r\n", ByChunks),
    ("upper-case", "TRANSFER-ENCODING: CHUNKED\r\n", ByChunks),
    ("mixed-case", "tRaNsFeR-eNcOdInG: cHuNkEd\r\n", ByChunks),
    ("no-space", "Transfer-Encoding:chunked\r\n", ByChunks),
    ("tab-before", "Transfer-Encoding:\tchunked\r\n", ByChunks),
    ("tab-behind", "Transfer-Encoding: chunked\t\r\n", ByChunks),
    ("spaces-around", "Transfer-Encoding:   chunked   \r\n", ByChunks),
    ("space-before-colon", "Transfer-Encoding : chunked\r\n", Nowhere),
    ("tab-before-colon", "Transfer-Encoding\t: chunked\r\n", Nowhere),
    ("space-before-name", "X: y\r\n Transfer-Encoding: chunked\r\n", ByLength),
    ("tab-before-name", "X: y\r\n\tTransfer-Encoding: chunked\r\n", ByLength),
    ("folded", "Transfer-Encoding:\r\n chunked\r\n", ByChunks),
    ("folded-behind", "Transfer-Encoding: chunked\r\n \r\n", ByChunks),
    ("behind-bare-lf", "X: y\nTransfer-Encoding: chunked\r\n", ByChunks),
    ("behind-bare-cr", "X: y\rTransfer-Encoding: chunked\r\n", ByLength),
    ("behind-nul", "X: y\0Transfer-Encoding: chunked\r\n", ByLength),
    ("vertical-tab", "Transfer-Encoding: \x0bchunked\r\n", Nowhere),
    ("form-feed", "Transfer-Encoding: \x0cchunked\r\n", Nowhere),
    ("nul-behind", "Transfer-Encoding: chunked\0\r\n", Nowhere),
    ("cr-behind", "Transfer-Encoding: chunked\r\r\n", ByChunks),
    ("no-break-space", "Transfer-Encoding: \u{a0}chunked\r\n", Nowhere),
    ("underscore", "Transfer_Encoding: chunked\r\n", ByLength),
    ("no-colon", "Transfer-Encoding chunked\r\n", ByLength),
    ("nul-in-name", "Transfer-\0Encoding: chunked\r\n", ByLength),
    ("quoted", "Transfer-Encoding: \"chunked\"\r\n", Nowhere),
    ("parameter", "Transfer-Encoding: chunked;q=1\r\n", Nowhere),
    ("xchunked", "Transfer-Encoding: xchunked\r\n", Nowhere),
    ("chunkedx", "Transfer-Encoding: chunkedx\r\n", Nowhere),
    ("cut-short", "Transfer-Encoding: chunk\r\n", Nowhere),
    ("identity", "Transfer-Encoding: identity\r\n", Nowhere),
    ("empty", "Transfer-Encoding:\r\n", Nowhere),
    ("comma-only", "Transfer-Encoding: ,\r\n", Nowhere),
    ("comma-first", "Transfer-Encoding: , chunked\r\n", ByChunks),
    ("comma-last", "Transfer-Encoding: chunked,\r\n", ByChunks),
    ("chunked-identity", "Transfer-Encoding: chunked, identity\r\n", Nowhere),
    ("identity-chunked", "Transfer-Encoding: identity, chunked\r\n", ByChunks),
    ("gzip-chunked", "Transfer-Encoding: gzip, chunked\r\n", Nowhere),
    ("chunked-chunked", "Transfer-Encoding: chunked, chunked\r\n", Nowhere),
    ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Nowhere),
    (
        "chunked-then-identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        Nowhere,
    ),
    (
        "identity-then-chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ByChunks,
    ),
    ("chunked-then-x", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Nowhere),
    ("x-then-chunked", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", Nowhere),
    ("content-encoding", "Content-Encoding: chunked\r\n", ByLength),
    ("long-s", "Tran\u{17f}fer-Encoding: chunked\r\n", ByLength),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> =
        SPELLINGS.iter().map(|&(name, lines, ends)| spelled(name, lines, ends)).collect();
    cases.extend([
        must("te-cl", "RFC 9112, 6.3")
            .sends(post(
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            ))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", SMUGGLED.as_bytes()))),
        must("te-before-cl", "RFC 9112, 6.3")
            .sends(post(
                format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", 5 + SMUGGLED.len()),
                format!("0\r\n\r\n{SMUGGLED}"),
            ))
            .method("POST")
            .check(|seen| {
                let both = seen.only_of(&[("POST", "/", b""), HIDDEN]);
                both.map_err(|_| "not by its chunks".into())
            }),
        must("nothing-is-read-behind-both", "RFC 9112, 6.1")
            .sends(post(
                format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + SMUGGLED.len()),
                format!("0\r\n\r\n{SMUGGLED}"),
            ))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b""))),
        must("both-are-never-passed-on", "RFC 9112, 6.3")
            .sends(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b"hello"))),
        must("both-close-the-connection", "RFC 9112, 6.1")
            .sends(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))
            .method("POST")
            .answers(2)
            .check(Observed::closed),
        must("get-with-a-hidden-request", "RFC 9112, 6.3")
            .sends(format!(
                "GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ))
            .check(|seen| refused_or_only(seen, ("GET", "/", SMUGGLED.as_bytes()))),
        must("chunks-in-http-1.0", "RFC 9112, 6.1")
            .sends(
                "POST / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\
                 Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            )
            .method("POST")
            .answers(2)
            .check(|seen| {
                // By chunks, or as if there were none.
                refused_or_only(seen, ("POST", "/", b"hello"))
                    .or_else(|why| seen.only("POST", "/", b"").map(drop).map_err(|_| why))?;
                seen.closed()
            }),
        must("chunks-and-length-in-http-1.0", "RFC 9112, 6.1")
            .sends(format!(
                "POST / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
                5 + SMUGGLED.len()
            ))
            .method("POST")
            .answers(2)
            .check(|seen| {
                let by_length = format!("0\r\n\r\n{SMUGGLED}");
                refused_or_only(seen, ("POST", "/", b"")).or_else(|why| {
                    seen.only("POST", "/", by_length.as_bytes()).map(drop).map_err(|_| why)
                })?;
                seen.closed()
            }),
        must("unknown-coding-without-length", "RFC 9112, 6.3")
            .sends(post("Transfer-Encoding: xchunked\r\n", SMUGGLED))
            .method("POST")
            .check(Observed::refused),
    ]);
    cases
}

/// What the server sees of [`SMUGGLED`].
const HIDDEN: Expected<'static> = ("GET", "/smuggled", b"");

fn spelled(name: &str, lines: &str, ends: Ends) -> Case {
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let request = post(format!("Content-Length: {}\r\n{lines}", body.len()), &body);
    must(format!("cl-te-{name}"), "RFC 9112, 6.3").sends(request).method("POST").check(
        move |seen| {
            seen.refused().or_else(|why| match ends {
                Nowhere => Err(why),
                // What follows the last chunk is a request, of a connection that is to be
                // closed; that is another case.
                ByChunks => seen
                    .only("POST", "/", b"")
                    .map(drop)
                    .or_else(|why| seen.only_of(&[("POST", "/", b""), HIDDEN]).map_err(|_| why)),
                ByLength => seen.only("POST", "/", body.as_bytes()).map(drop),
            })
        },
    )
}
