//! Answers that are wrong, cut off, or none.

use lb_core::testing::wire::Reply;

use super::{Case, answer, get, must, ours, should};
use crate::correctness::{
    case::{Act, ok},
    observed::{Observed, ensure},
};

/// These are no answers, nor made into some.
const NONE: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("garbage", b"\x16\x03\x01\x02\0 what is this\r\n\r\n"),
    ("a-line", b"220 mail.test ESMTP\r\n"),
    ("status-of-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status-of-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status-of-letters", b"HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status-of-0", b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("head-cut-off", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("two-lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    ("two-lengths-in-a-list", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!"),
    ("length-plus", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("length-minus", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    ("length-of-letters", b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok"),
    ("length-overflow", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok"),
];

/// A recipient may mend these, and is not to pass them on as they are.
const MENDED: &[(&str, &[u8])] = &[
    ("bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("bare-lf-once", b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 2\r\n\r\nok"),
    ("bare-cr", b"HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\nok"),
    ("nul", b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok"),
    ("folded", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
    ("folded-length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok"),
    ("space-before-colon", b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok"),
    ("space-before-colon-of-length", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("no-colon", b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok"),
    ("empty-name", b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\nok"),
    ("bracket-in-name", b"HTTP/1.1 200 OK\r\nX(A: b\r\nContent-Length: 2\r\n\r\nok"),
    ("same-length-twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("same-length-in-a-list", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("both", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("both-length-first-shorter", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("leading-empty-line", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("line-with-several-spaces", b"HTTP/1.1  200  OK\r\nContent-Length: 2\r\n\r\nok"),
    ("bare-cr-in-reason", b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok"),
    ("nul-in-reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok"),
];

/// Chunks that are cut off or broken: the client must notice.
const CUT: &[(&str, &str, &str)] = &[
    ("by-length", "Content-Length: 10\r\n", "hello"),
    ("by-length-at-once", "Content-Length: 10\r\n", ""),
    ("by-chunks", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
    ("within-a-chunk", "Transfer-Encoding: chunked\r\n", "a\r\nhello"),
    ("within-a-size", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n1"),
    ("within-the-last-size", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0"),
    ("before-the-last-line", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n"),
    ("within-trailers", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: 9\r\n"),
    ("before-any-chunk", "Transfer-Encoding: chunked\r\n", ""),
];

const BROKEN_CHUNKS: &[(&str, &str)] = &[
    ("size-letters", "5\r\nhello\r\nzz\r\n0\r\n\r\n"),
    ("size-plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("size-overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("no-end-of-data", "5\r\nhelloX0\r\n\r\n"),
    ("size-empty", "\r\nhello\r\n0\r\n\r\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, bytes) in NONE {
        cases.push(
            must(format!("answer-none-{name}"), "RFC 9112, 6.3; RFC 9110, 15.6.3")
                .sends(get(""))
                .reply(Reply::answer(bytes).close())
                .check(Observed::failed),
        );
    }
    for &(name, bytes) in MENDED {
        cases.push(
            must(format!("answer-mended-{name}"), "RFC 9112, 2.2, 5, 5.2 and 6.3; RFC 9110, 5.5")
                .sends(get(""))
                .reply(Reply::answer(bytes).close())
                .check(|seen| match seen.answer(0) {
                    Ok(answer) if answer.status >= 500 => Ok(()),
                    // Mended, it may end where the server closed.
                    Ok(answer) => ensure(
                        answer.status == 200 && answer.body == b"ok",
                        format!("client: {} with {}", answer.status, answer.content()),
                    ),
                    Err(_) => seen.failed(),
                }),
        );
    }
    for &(name, lines, body) in CUT {
        for how in ["closed", "reset"] {
            let reply = Reply::answer(answer(lines, body)).pause();
            let reply = if how == "closed" { reply.close() } else { reply.reset() };
            cases.push(
                must(format!("answer-cut-off-{name}-{how}"), "RFC 9112, 8")
                    .sends(get(""))
                    .reply(reply)
                    .check(Observed::failed),
            );
        }
    }
    cases.push(
        ours("answer-cut-off-until-close-reset")
            .sends(get(""))
            .reply(Reply::answer(answer("", "hello")).pause().reset())
            .check(Observed::failed),
    );
    for &(name, body) in BROKEN_CHUNKS {
        cases.push(
            must(format!("answer-chunk-{name}"), "RFC 9112, 7.1")
                .sends(get(""))
                .reply(Reply::answer(answer("Transfer-Encoding: chunked\r\n", body)).close())
                .check(Observed::failed),
        );
    }
    cases.extend(codings());
    cases.extend(behind());
    cases.extend(gateways());
    cases
}

fn codings() -> Vec<Case> {
    let coded = |name: &str, coding: &str| {
        let text =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        must(format!("answer-coding-{name}"), "RFC 9112, 6.1 and 6.3")
            .sends(get(""))
            .reply(Reply::answer(text).close())
            .check(|seen| match seen.answer(0) {
                Ok(answer) if answer.status >= 500 => Ok(()),
                // What isn't decoded must not look as if it were.
                Ok(answer) => ensure(
                    answer.get("transfer-encoding").is_none() && answer.body != b"ok",
                    "client sees it as if it were plain chunks",
                ),
                Err(_) => Ok(()),
            })
    };
    vec![coded("gzip", "gzip, chunked"), coded("unknown", "xchunked")]
}

/// What comes behind an answer is never the answer to another request.
fn behind() -> Vec<Case> {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let two = |case: Case, method: &'static str, another: bool, reply: Reply| {
        let first = format!("{method} /first HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let case = case.sends(first).act(Act::Read(method)).act(Act::Pause);
        let case = if another { case.act(Act::Another) } else { case };
        case.sends("GET /second HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .answers(2)
            .script(move |seen| if seen.target == b"/first" { reply.clone() } else { ok(seen) })
            .check(|seen| {
                let poisoned = seen.heard.windows(6).any(|text| text == b"poison");
                ensure(!poisoned, "client sees what wasn't for it")?;
                match seen.answers.last() {
                    Some(_) => seen.answer(seen.answers.len() - 1).map(drop),
                    None => Err("no answer".into()),
                }
            })
    };
    let rule = "RFC 9112, 9.2 and 11.1";
    let plain = answer("Content-Length: 2\r\n", "ok");
    vec![
        two(
            must("extra-answer-and-another-client", rule),
            "GET",
            true,
            Reply::answer([&plain[..], poison.as_bytes()].concat()),
        ),
        two(
            must("extra-answer-and-the-same-client", rule),
            "GET",
            false,
            Reply::answer([&plain[..], poison.as_bytes()].concat()),
        ),
        two(
            must("extra-answer-a-moment-later", rule),
            "GET",
            true,
            Reply::answer(&plain).pause().send(poison),
        ),
        two(
            must("extra-bytes-behind-an-answer", rule),
            "GET",
            true,
            Reply::answer([&plain[..], b"\0poison\r\n"].concat()),
        ),
        two(
            must("extra-answer-behind-chunks", rule),
            "GET",
            true,
            Reply::answer(answer(
                "Transfer-Encoding: chunked\r\n",
                format!("2\r\nok\r\n0\r\n\r\n{poison}"),
            )),
        ),
        two(
            must("body-behind-the-answer-to-head", rule),
            "HEAD",
            true,
            Reply::answer(answer("Content-Length: 45\r\n", poison)),
        ),
        two(
            must("body-behind-204", rule),
            "GET",
            true,
            Reply::answer(format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
        ),
        two(
            must("body-behind-304", rule),
            "GET",
            true,
            Reply::answer(format!(
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n{poison}"
            )),
        ),
        two(
            must("extra-answer-behind-hints", rule),
            "GET",
            true,
            Reply::answer(format!(
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}"
            )),
        ),
        must("extra-answer-is-no-second-one", rule)
            .sends(get(""))
            .answered([&plain[..], poison.as_bytes()].concat())
            .check(|seen| {
                seen.status(0, 200)?;
                ensure(seen.answers.len() == 1, "client sees a second answer")
            }),
    ]
}

/// What the client is told of a server that can't answer.
fn gateways() -> Vec<Case> {
    vec![
        should("broken-answer-is-502", "RFC 9110, 15.6.3")
            .sends(get(""))
            .reply(Reply::answer("what?\r\n\r\n").close())
            .check(Observed::bad_gateway),
        must("two-lengths-are-502", "RFC 9112, 6.3")
            .sends(get(""))
            .reply(
                Reply::answer(answer("Content-Length: 2\r\nContent-Length: 3\r\n", "ok!")).close(),
            )
            .check(Observed::bad_gateway),
        should("no-answer-to-a-post-is-an-error", "RFC 9110, 15.6")
            .sends(super::post("Content-Length: 5\r\n", "hello"))
            .method("POST")
            .reply(Reply::new().read_body().close())
            .check(|seen| {
                let status = seen.answer(0)?.status;
                ensure((502..505).contains(&status), format!("client: {status}"))
            }),
        must("answer-in-chunks-in-http-1.0", "RFC 9112, 6.1")
            .sends(get(""))
            .reply(
                Reply::answer(
                    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                )
                .close(),
            )
            .check(|seen| match seen.answer(0) {
                Ok(answer) if answer.status == 200 => {
                    ensure(answer.body == b"ok", format!("client sees {}", answer.content()))
                }
                _ => seen.failed(),
            }),
        ours("answer-of-version-2-is-none")
            .sends(get(""))
            .answered("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .check(Observed::failed),
        must("post-is-not-repeated", "RFC 9110, 9.2.2")
            .sends(super::post("Content-Length: 5\r\n", "hello"))
            .method("POST")
            .reply(Reply::new().read_body().close())
            .check(|seen| {
                let times = seen.requests().len();
                ensure(times <= 1, format!("server sees it {times} times"))
            }),
        ours("no-answer-to-a-get-is-an-error")
            .sends(get(""))
            .reply(Reply::new().read_body().reset())
            .check(|seen| {
                let status = seen.answer(0)?.status;
                ensure((500..600).contains(&status), format!("client: {status}"))
            }),
    ]
}
