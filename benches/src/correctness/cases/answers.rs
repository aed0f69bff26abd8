//! Answers that are right, and arrive so.

use lb_core::testing::wire::{Framing, Reply};

use super::{Case, answer, get, must, ours, should};
use crate::correctness::{
    case::{Act, ok},
    observed::ensure,
};

/// Lines of an answer that nobody on the way may change.
const UNTOUCHED: &[(&str, &str, &str)] = &[
    ("date", "date", "Tue, 15 Nov 1994 08:12:31 GMT"),
    ("content-encoding", "content-encoding", "gzip"),
    ("content-type", "content-type", "text/plain; charset=\"utf-8\""),
    ("content-range", "content-range", "bytes 0-1/2"),
    ("etag", "etag", "W/\"a,b\""),
    ("location", "location", "//evil.test/a?b#c"),
    ("cache-control", "cache-control", "no-transform, max-age=0"),
    ("vary", "vary", "*"),
    ("challenge", "www-authenticate", "Basic realm=\"a, b\", Digest qop=\"auth\""),
    ("expires", "expires", "0"),
    ("age", "age", "7"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = UNTOUCHED
        .iter()
        .map(|&(case, name, value)| {
            should(format!("answer-keeps-{case}"), "RFC 9110, 7.7")
                .sends(get("Accept-Encoding: gzip\r\n"))
                .answered(answer(format!("Content-Length: 2\r\n{name}: {value}\r\n"), "ok"))
                .check(move |seen| {
                    let is = seen.status(0, 200)?.text(name).unwrap_or_default();
                    let escaped = value.escape_default().to_string();
                    ensure(is == escaped, format!("client sees {name}: {is}"))
                })
        })
        .collect();
    for status in [200, 201, 203, 206, 299, 300, 302, 400, 404, 418, 451, 499, 500, 503, 599] {
        cases.push(
            must(format!("answer-status-{status}"), "RFC 9110, 15")
                .sends(get(""))
                .answered(format!("HTTP/1.1 {status} Something\r\nContent-Length: 2\r\n\r\nok"))
                .check(move |seen| ensure(seen.status(0, status)?.body == b"ok", "another body")),
        );
    }
    cases.extend(bodies());
    cases.extend(without_body());
    cases.extend([
        must("answer-without-reason", "RFC 9112, 4")
            .sends(get(""))
            .answered("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
            .check(|seen| seen.status(0, 200).map(drop)),
        should("answer-without-reason-and-space", "RFC 9112, 4")
            .sends(get(""))
            .answered("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")
            .check(|seen| match seen.answer(0)?.status {
                200 | 502 => Ok(()),
                other => Err(format!("client: {other}")),
            }),
        must("answer-in-http-1.0", "RFC 9110, 2.5")
            .sends(get(""))
            .reply(Reply::answer("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").close())
            .check(|seen| {
                let version = &seen.status(0, 200)?.version;
                ensure(version == "HTTP/1.1", format!("client sees {version}"))
            }),
        must("set-cookie-lines-are-not-joined", "RFC 6265, 3")
            .sends(get(""))
            .answered(answer(
                "Content-Length: 2\r\nSet-Cookie: a=1; Expires=Tue, 15 Nov 1994 08:12:31 GMT\r\nX: y\r\nSet-Cookie: b=2\r\n",
                "ok",
            ))
            .check(|seen| {
                let all = seen.status(0, 200)?.headers.all("set-cookie").count();
                ensure(all == 2, format!("client sees {all} lines"))
            }),
        must("answer-repeated-headers-keep-their-order", "RFC 9110, 5.3")
            .sends(get(""))
            .answered(answer("Content-Length: 2\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n", "ok"))
            .check(|seen| {
                let is = seen.status(0, 200)?.text("x-a");
                ensure(is.as_deref() == Some("1, 3"), format!("client sees {is:?}"))
            }),
        must("date-is-added", "RFC 9110, 6.6.1")
            .sends(get(""))
            .check(|seen| ensure(seen.status(0, 200)?.get("date").is_some(), "client sees no Date")),
        ours("answer-before-the-body")
            .sends(super::post("Content-Length: 400000\r\n", vec![b'x'; 400_000]))
            .method("POST")
            .reply(
                Reply::early("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .close(),
            )
            .check(|seen| seen.status(0, 413).map(drop)),
        must("answer-before-the-body-which-follows", "RFC 9112, 9.3")
            .sends("POST /1 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\n")
            .act(Act::UntilSeen(1))
            .sends("hello")
            .sends("GET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .method("POST")
            .script(|seen| match seen.method.as_str() {
                "POST" => Reply::early("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                _ => ok(seen),
            })
            .check(|seen| {
                seen.status(0, 200)?;
                seen.only_of(&[("POST", "/1", b"hello"), ("GET", "/2", b"")])
            }),
    ]);
    cases
}

fn bodies() -> Vec<Case> {
    let whole = |case: Case| {
        case.sends(get("")).check(|seen| {
            let answer = seen.status(0, 200)?;
            ensure(answer.body == b"hello", format!("client sees {}", answer.content()))
        })
    };
    vec![
        whole(must("answer-by-length", "RFC 9112, 6.3"))
            .answered(answer("Content-Length: 5\r\n", "hello")),
        whole(must("answer-by-chunks", "RFC 9112, 6.3")).answered(answer(
            "Transfer-Encoding: chunked\r\n",
            "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
        )),
        whole(must("answer-until-close", "RFC 9112, 6.3"))
            .reply(Reply::answer(answer("", "hello")).close()),
        whole(must("answer-until-close-in-http-1.0", "RFC 9112, 6.3"))
            .reply(Reply::answer("HTTP/1.0 200 OK\r\n\r\nhello").close()),
        whole(must("answer-until-close-that-says-so", "RFC 9112, 6.3"))
            .reply(Reply::answer(answer("Connection: close\r\n", "hello")).close()),
        whole(must("answer-in-pieces", "RFC 9112, 6.3")).reply(Reply::pieces([
            "HTTP/1.1 200",
            " OK\r\nContent-Le",
            "ngth: 5\r",
            "\n\r\nhe",
            "llo",
        ])),
        whole(must("answer-in-chunks-in-pieces", "RFC 9112, 6.3")).reply(Reply::pieces([
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r",
            "\n0",
            "5\r",
            "\nhel",
            "lo\r",
            "\n0\r\n",
            "\r\n",
        ])),
        should("answer-arrives-as-it-comes", "RFC 9110, 7.6")
            .sends(get(""))
            .act(Act::ReadOne("HEAD"))
            .act(Act::Release)
            .patience(std::time::Duration::from_secs(2))
            .reply(
                Reply::answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
                    .hold()
                    .send("3\r\nllo\r\n0\r\n\r\n"),
            )
            // Read as if it had no body, the head alone is an answer.
            .check(|seen| seen.status(0, 200).map(drop)),
    ]
}

fn without_body() -> Vec<Case> {
    let head = "HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let twice = |case: Case, first: &str, reply: &'static str| {
        case.sends(first)
            .act(Act::Read("HEAD"))
            .sends("GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .answers(2)
            .script(move |seen| if seen.target == b"/" { Reply::answer(reply) } else { ok(seen) })
            .check(|seen| {
                seen.answer(0)?;
                ensure(seen.status(1, 200)?.body == b"ok", "the next answer is another one")
            })
    };
    vec![
        must("head-keeps-the-length", "RFC 9110, 9.3.2")
            .sends(head)
            .method("HEAD")
            .answered("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
            .check(|seen| {
                let length = seen.status(0, 200)?.text("content-length");
                ensure(length.is_none_or(|is| is == "1234"), "client sees another length")
            }),
        twice(
            must("head-by-chunks", "RFC 9112, 6.3"),
            head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        twice(must("head-without-framing", "RFC 9112, 6.3"), head, "HTTP/1.1 200 OK\r\n\r\n"),
        twice(
            must("not-modified-with-a-length", "RFC 9110, 15.4.5"),
            "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n",
        ),
        twice(
            must("no-content", "RFC 9110, 15.3.5"),
            "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        must("no-content-with-a-length", "RFC 9110, 8.6")
            .sends(get(""))
            .answered("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .check(|seen| match seen.answer(0)?.status {
                502 => Ok(()),
                _ => ensure(
                    seen.status(0, 204)?.get("content-length").is_none(),
                    "client sees a length",
                ),
            }),
        must("no-content-with-chunks", "RFC 9112, 6.1")
            .sends(get(""))
            .reply(
                Reply::answer(
                    "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                )
                .close(),
            )
            .check(|seen| match seen.answer(0)?.status {
                502 => Ok(()),
                _ => ensure(
                    seen.status(0, 204)?.get("transfer-encoding").is_none(),
                    "client sees chunks",
                ),
            }),
        must("reset-content", "RFC 9110, 15.3.6")
            .sends(get(""))
            .answered("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
            .check(|seen| {
                ensure(seen.status(0, 205)?.framing != Framing::UntilClose, "until close")
            }),
        must("answer-of-length-0", "RFC 9112, 6.3")
            .sends(get(""))
            .answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .check(|seen| ensure(seen.status(0, 200)?.body.is_empty(), "client sees a body")),
    ]
}
