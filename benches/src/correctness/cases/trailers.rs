//! Fields behind the last chunk, both ways.

use super::{Case, answer, chunked, get, must, ours, refused_or_only};
use crate::correctness::observed::ensure;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, line, field) in [
        ("any", "X-Sum: 9\r\n", "x-sum"),
        ("length", "Content-Length: 3\r\n", "content-length"),
        ("coding", "Transfer-Encoding: gzip\r\n", ""),
        ("host", "Host: evil.test\r\n", ""),
        ("authorization", "Authorization: Basic eDp5\r\n", "authorization"),
        ("forwarded-for", "X-Forwarded-For: 6.6.6.6\r\n", ""),
    ] {
        let request = chunked(format!("5\r\nhello\r\n0\r\n{line}\r\n"));
        cases.push(
            must(format!("request-trailer-not-merged-{name}"), "RFC 9110, 6.5.1")
                .sends(request)
                .method("POST")
                .check(move |seen| {
                    seen.refused_or(|seen| {
                        let request = seen.only("POST", "/", b"hello")?;
                        let merged = match (field, line.split_once(": ")) {
                            ("", Some((name, value))) => request
                                .text(name)
                                .is_some_and(|is| is.contains(value.trim_ascii_end())),
                            _ => request.get(field).is_some() && field != "content-length",
                        };
                        ensure(!merged, format!("merged into the head: {line}"))
                    })
                }),
        );
    }
    for (name, trailer) in [
        ("no-colon", "X-Sum\r\n"),
        ("space-before-colon", "X-Sum : 9\r\n"),
        ("nul", "X-Sum: \0\r\n"),
        ("folded", "X-Sum: 9\r\n 9\r\n"),
        ("bare-lf", "X-Sum: 9\nX-Other: 9\r\n"),
        ("bare-cr", "X-Sum: 9\rX-Other: 9\r\n"),
    ] {
        cases.push(
            must(format!("request-trailer-{name}"), "RFC 9112, 7.1.2")
                .sends(chunked(format!("5\r\nhello\r\n0\r\n{trailer}\r\n")))
                .method("POST")
                .check(|seen| refused_or_only(seen, ("POST", "/", b"hello"))),
        );
    }
    cases.extend([
        ours("request-trailer-passed-on")
            .sends(
                "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n",
            )
            .method("POST")
            .check(|seen| {
                let request = seen.only("POST", "/", b"hello")?;
                ensure(request.trailers.get("x-sum") == Some(b"9"), "server sees no trailer")
            }),
        ours("answer-trailer-passed-on")
            .sends(get("TE: trailers\r\nConnection: TE\r\n"))
            .answered(answer(
                "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
                "2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n",
            ))
            .check(|seen| {
                let answer = seen.status(0, 200)?;
                ensure(answer.trailers.get("x-sum") == Some(b"9"), "client sees no trailer")
            }),
        must("answer-trailer-not-merged", "RFC 9110, 6.5.1")
            .sends(get(""))
            .answered(answer("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n"))
            .check(|seen| {
                let answer = seen.status(0, 200)?;
                ensure(answer.get("x-sum").is_none(), "merged into the head")?;
                ensure(answer.body == b"ok", "client sees another body")
            }),
        must("answer-trailer-of-framing-not-merged", "RFC 9110, 6.5.1")
            .sends(get(""))
            .answered(answer(
                "Transfer-Encoding: chunked\r\n",
                "2\r\nok\r\n0\r\nContent-Length: 1\r\nSet-Cookie: a=b\r\n\r\n",
            ))
            .check(|seen| {
                let answer = seen.status(0, 200)?;
                ensure(answer.get("set-cookie").is_none(), "merged into the head")?;
                ensure(answer.body == b"ok", "client sees another body")
            }),
        must("answer-trailer-broken", "RFC 9112, 7.1.2")
            .sends(get(""))
            .answered(answer("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\nX Sum\r\n\r\n"))
            .check(|seen| match seen.answer(0) {
                Ok(answer) => ensure(answer.trailers.0.is_empty(), "passed on"),
                Err(_) => seen.failed(),
            }),
    ]);
    cases
}
