//! Connections to the server that have carried something before: who uses them next
//! must neither get nor finish what wasn't his.

use lb_core::testing::wire::{Reply, Seen};

use super::{Case, answer, must, should};
use crate::correctness::{
    case::{Act, ok},
    observed::{Observed, Verdict, ensure},
};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = leavers();
    cases.extend(closed());
    cases.extend([
        must("many-requests-on-one-connection", "RFC 9112, 9.3.2")
            .sends(NEXT.repeat(15))
            .answers(15)
            .check(|seen| {
                seen.status(14, 200)?;
                let all = seen.requests();
                ensure(all.len() == 15, format!("server sees {} of 15", all.len()))
            }),
        must("head-and-get-by-turns", "RFC 9112, 6.3")
            .sends("HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .act(Act::Read("HEAD"))
            .sends(NEXT)
            .act(Act::Read("GET"))
            .sends("HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .act(Act::Read("HEAD"))
            .sends(NEXT)
            .answers(4)
            .check(|seen| {
                for at in 0..4 {
                    let is = &seen.status(at, 200)?.body;
                    ensure(is.is_empty() == (at % 2 == 0), format!("another body at {at}"))?;
                }
                Ok(())
            }),
    ]);
    cases
}

/// Who leaves in the middle of something leaves nothing for others to trip over.
fn leavers() -> Vec<Case> {
    let own = |seen: &Observed| -> Verdict {
        seen.clean()?;
        let last = seen.answers.len().saturating_sub(1);
        let is = seen.status(last, 200)?;
        ensure(is.body == b"ok", format!("the next one sees {}", is.content()))
    };
    let post = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhello";
    let chunks =
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let at_once = |seen: &Seen| match seen.method.as_str() {
        "POST" => Reply::early(answer("Content-Length: 5\r\n", "early")),
        _ => ok(seen),
    };
    let slowly = |seen: &Seen| match &seen.target[..] {
        b"/" => Reply::answer(answer("Content-Length: 1000\r\n", "slow")).hold(),
        _ => ok(seen),
    };
    let left = |case: Case| case.act(Act::Abort).act(Act::Pause).act(Act::Another).sends(NEXT);
    let rule = "RFC 9112, 9.3 and 9.5";
    vec![
        left(must("leaver-within-a-body", rule).sends(post).act(Act::UntilSeen(1))).check(own),
        left(must("leaver-within-chunks", rule).sends(chunks).act(Act::UntilSeen(1))).check(own),
        left(must("leaver-within-a-body-answered-early", rule).sends(post).act(Act::Read("POST")))
            .script(at_once)
            .answers(2)
            .check(own),
        left(
            must("leaver-within-chunks-answered-early", rule).sends(chunks).act(Act::Read("POST")),
        )
        .script(at_once)
        .answers(2)
        .check(own),
        left(
            must("leaver-within-an-answer", rule)
                .sends("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                .act(Act::UntilSeen(1)),
        )
        .script(slowly)
        .check(own),
        left(
            must("leaver-before-the-answer-to-a-pipeline", rule)
                .sends(["GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", NEXT, NEXT].concat())
                .act(Act::UntilSeen(1)),
        )
        .script(slowly)
        .check(own),
    ]
}

/// A server may close what is idle; nobody has to know.
fn closed() -> Vec<Case> {
    let first = "GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let then_closes =
        |seen: &Seen| if seen.target == b"/first" { ok(seen).close() } else { ok(seen) };
    let both = |seen: &Observed| -> Verdict {
        seen.status(0, 200)?;
        seen.status(1, 200).map(drop)
    };
    let post = "POST /next HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello";
    let case = |case: Case, next: &str| {
        case.sends(first)
            .act(Act::Read("GET"))
            .act(Act::Pause)
            .sends(next)
            .answers(2)
            .script(then_closes)
            .check(both)
    };
    vec![
        case(should("server-has-closed-before-a-get", "RFC 9112, 9.3.1"), NEXT),
        case(should("server-has-closed-before-a-post", "RFC 9112, 9.3.1"), post),
    ]
}
