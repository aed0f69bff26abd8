//! `Expect: 100-continue`, and answers before the final one.

use lb_core::testing::wire::{Reply, Seen};

use super::{Case, get, must, ours, should};
use crate::correctness::{
    case::Act,
    observed::{Observed, ensure},
};

const HEAD: &str =
    "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn expecting(case: Case) -> Case {
    case.method("POST")
        .sends(HEAD)
        .act(Act::ReadOne("POST"))
        .act(Act::SendIfToldTo(b"hello".to_vec()))
}

/// Asks for the body if it is asked whether to.
fn continues(seen: &Seen) -> Reply {
    let reply = Reply::new();
    let asked = seen.lists("expect", "100-continue");
    let reply = if asked { reply.send("HTTP/1.1 100 Continue\r\n\r\n") } else { reply };
    reply.read_body().send(OK)
}

pub(super) fn cases() -> Vec<Case> {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    vec![
        expecting(must("expect-continue", "RFC 9110, 10.1.1"))
            .script(continues)
            .check(|seen| {
                seen.only("POST", "/", b"hello")?;
                ensure(seen.heard.windows(6).any(|text| text == b" 200 O"), "no final answer")
            }),
        expecting(must("expect-continue-of-a-server-that-ignores-it", "RFC 9110, 10.1.1"))
            .patience(std::time::Duration::from_secs(2))
            .sends("hello")
            .check(|seen| {
                // A client waits for a while, and then it sends the body.
                ensure(seen.requests().iter().any(|seen| seen.complete), "the body isn't passed on")
            }),
        expecting(must("expect-refused", "RFC 9110, 10.1.1"))
            .reply(
                Reply::early("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .close(),
            )
            .check(|seen| ensure(seen.heard.windows(5).any(|text| text == b" 417 "), "client sees no 417")),
        expecting(must("expect-answered-at-once", "RFC 9110, 10.1.1"))
            .reply(
                Reply::early("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .close(),
            )
            .check(|seen| ensure(seen.heard.windows(5).any(|text| text == b" 401 "), "client sees no 401")),
        expecting(ours("expect-refused-before-the-body-is-asked-for"))
            .reply(
                Reply::early("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .close(),
            )
            .check(|seen| seen.status(0, 417).map(drop)),
        expecting(must("expect-is-passed-on-before-the-body", "RFC 9110, 10.1.1"))
            .script(continues)
            .check(|seen| {
                // 100 is the server's to say, which therefore has to know.
                let expected = seen.requests().iter().any(|seen| seen.lists("expect", "100-continue"));
                ensure(expected, "server isn't told")
            }),
        must("expect-with-the-body-at-once", "RFC 9110, 10.1.1")
            .method("POST")
            .sends(HEAD)
            .sends("hello")
            .script(continues)
            .check(|seen| {
                seen.only("POST", "/", b"hello")?;
                seen.status(0, 200).map(drop)
            }),
        must("expect-of-http-1.0-is-ignored", "RFC 9110, 10.1.1")
            .method("POST")
            .sends("POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
            .check(|seen| {
                seen.refused_or(|seen| ensure(seen.status(0, 200)?.interim.is_empty(), "client sees 100"))
            }),
        ours("expect-of-something-else")
            .method("POST")
            .sends("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: x\r\n\r\nhello")
            .check(|seen| seen.refused_or(|seen| seen.only("POST", "/", b"hello").map(drop))),
        should("expect-without-a-body", "RFC 9110, 10.1.1")
            .sends(get("Expect: 100-continue\r\n"))
            .check(|seen| seen.status(0, 200).map(drop)),
        must("early-hints-are-passed-on", "RFC 9110, 15.2")
            .sends(get(""))
            .answered(format!("{hints}{OK}"))
            .check(|seen| {
                let all = &seen.status(0, 200)?.interim;
                let hint = all.iter().find(|hint| hint.status == 103).ok_or("client sees no 103")?;
                ensure(hint.get("link") == Some(b"</a.css>; rel=preload"), "without its header")
            }),
        must("early-hints-are-passed-on-at-once", "RFC 9110, 15.2; RFC 8297")
            .sends(get(""))
            .act(Act::ReadOne("GET"))
            .act(Act::Release)
            .patience(std::time::Duration::from_secs(2))
            .reply(Reply::answer(hints).hold().send(OK))
            .check(|seen| seen.status(0, 103).map(drop)),
        must("processing-is-passed-on", "RFC 9110, 15.2")
            .sends(get(""))
            .answered(format!("HTTP/1.1 102 Processing\r\n\r\n{OK}"))
            .check(|seen| {
                let all = &seen.status(0, 200)?.interim;
                ensure(all.iter().any(|answer| answer.status == 102), "client sees no 102")
            }),
        must("unknown-interim-answers-are-none", "RFC 9110, 15.2")
            .sends(get(""))
            .answered(format!("HTTP/1.1 199 Whatever\r\n\r\n{hints}{hints}{OK}"))
            .check(|seen| seen.status(0, 200).map(drop)),
        must("interim-answers-in-plenty", "RFC 9110, 15.2")
            .sends(get(""))
            .answered(hints.repeat(20) + OK)
            .check(|seen| match seen.answer(0)?.status {
                200 | 502 => Ok(()),
                other => Err(format!("client: {other}")),
            }),
        must("interim-answer-only", "RFC 9110, 15.2")
            .sends(get(""))
            .reply(Reply::answer(hints).close())
            .check(Observed::failed),
    ]
}
