//! How long connections last, and what is read from them.

use lb_core::testing::wire::{Reply, Seen};

use super::{Case, SMUGGLED, get, must, ours, refused_or_only, should};
use crate::correctness::{
    case::{Act, ok},
    observed::{Observed, ensure},
};

fn path(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n")
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = http10();
    cases.extend(pipelines());
    cases.extend([
        should("stays-open-by-default", "RFC 9112, 9.3")
            .sends(get(""))
            .act(Act::Read("GET"))
            .sends(get(""))
            .answers(2)
            .check(|seen| {
                seen.status(0, 200)?;
                seen.status(1, 200).map(drop)
            }),
        must("close-is-heeded", "RFC 9112, 9.6")
            .sends(get("Connection: close\r\n"))
            .answers(2)
            .check(|seen| {
                seen.status(0, 200)?;
                seen.closed()
            }),
        must("close-in-a-list-is-heeded", "RFC 9112, 9.6")
            .sends(get("Connection: X-Foo, CLOSE\r\n"))
            .answers(2)
            .check(|seen| {
                seen.status(0, 200)?;
                seen.closed()
            }),
        should("close-is-announced", "RFC 9112, 9.6").sends(get("Connection: close\r\n")).check(
            |seen| ensure(seen.status(0, 200)?.lists("connection", "close"), "not announced"),
        ),
        must("nothing-is-read-behind-close", "RFC 9112, 9.6")
            .sends(path("/", "Connection: close\r\n") + SMUGGLED)
            .check(|seen| seen.only("GET", "/", b"").map(drop)),
        must("refused-means-closed", "RFC 9112, 6.3")
            .sends(format!(
                "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: x\r\n\r\n{SMUGGLED}"
            ))
            .method("POST")
            .answers(2)
            .check(|seen| {
                seen.refused()?;
                seen.closed()
            }),
        must("body-that-is-not-read-is-no-request", "RFC 9112, 9.3")
            .sends(format!(
                "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ))
            .method("POST")
            .reply(
                Reply::early(
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .close(),
            )
            .check(|seen| {
                let all = seen.requests();
                ensure(all.iter().all(|seen| seen.method == "POST"), "server sees /smuggled")?;
                seen.status(0, 403).map(drop)
            }),
        ours("request-in-pieces")
            .act(Act::Pieces(
                ["GET / HT", "TP/1.1\r", "\nHost: app.te", "st\r\n", "\r", "\n"]
                    .map(Into::into)
                    .to_vec(),
            ))
            .check(|seen| seen.only("GET", "/", b"").map(drop)),
        must("client-that-leaves-is-not-waited-for", "RFC 9112, 9.5")
            .sends(get(""))
            .act(Act::UntilSeen(1))
            .act(Act::Abort)
            .act(Act::Another)
            .sends(path("/next", ""))
            .script(|seen| if seen.target == b"/" { Reply::silence() } else { ok(seen) })
            .check(|seen| seen.status(0, 200).map(drop)),
    ]);
    cases
}

fn http10() -> Vec<Case> {
    let request = "GET / HTTP/1.0\r\nHost: app.test\r\n\r\n";
    let kept = "GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n";
    // What a server says to who speaks 1.1; a proxy may speak as its client does.
    let newer = |reply: &'static str| {
        move |seen: &Seen| match seen.version.as_str() {
            "HTTP/1.1" => Reply::answer(reply),
            _ => ok(seen),
        }
    };
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let hints =
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let no_chunks = |seen: &Observed| {
        seen.refused_or(|seen| {
            let answer = seen.status(0, 200)?;
            let plain = answer.get("transfer-encoding").is_none() && answer.body == b"ok";
            ensure(plain, "client sees chunks")
        })
    };
    vec![
        should("http-1.0-is-served", "RFC 9110, 2.5")
            .sends(request)
            .check(|seen| seen.status(0, 200).map(drop)),
        should("http-1.0-is-answered-in-1.1", "RFC 9110, 6.2").sends(request).check(|seen| {
            let version = &seen.answer(0)?.version;
            ensure(version == "HTTP/1.1", format!("client sees {version}"))
        }),
        must("http-1.0-closes", "RFC 9112, 9.3").sends(request).answers(2).check(|seen| {
            seen.answer(0)?;
            seen.closed()
        }),
        must("http-1.0-keep-alive-is-said-or-closed", "RFC 9112, 9.3").sends(kept).check(|seen| {
            let kept = seen.answer(0)?.lists("connection", "keep-alive");
            if kept { Ok(()) } else { seen.closed() }
        }),
        ours("http-1.0-keep-alive-is-kept")
            .sends(kept)
            .act(Act::Read("GET"))
            .sends(kept)
            .answers(2)
            .check(|seen| {
                seen.status(0, 200)?;
                seen.status(1, 200).map(drop)
            }),
        must("http-1.0-gets-no-chunks", "RFC 9112, 6.1")
            .sends(request)
            .script(newer(chunks))
            .check(no_chunks),
        must("http-1.0-keep-alive-gets-no-chunks", "RFC 9112, 6.1")
            .sends(kept)
            .script(newer(chunks))
            .check(no_chunks),
        must("http-1.0-gets-no-interim-answers", "RFC 9110, 15.2")
            .sends(request)
            .script(newer(hints))
            .check(|seen| {
                seen.refused_or(|seen| {
                    let interim = &seen.status(0, 200)?.interim;
                    ensure(interim.is_empty(), "client sees 103")
                })
            }),
        must("http-1.0-body", "RFC 9112, 6.3")
            .sends("POST / HTTP/1.0\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello")
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b"hello"))),
        must("http-1.0-connection-names-headers", "RFC 9110, 7.6.1")
            .sends("GET / HTTP/1.0\r\nHost: app.test\r\nConnection: X-Foo\r\nX-Foo: 1\r\n\r\n")
            .check(|seen| {
                seen.refused_or(|seen| {
                    let passed = seen.only("GET", "/", b"")?.get("x-foo").is_some();
                    ensure(!passed, "server sees X-Foo")
                })
            }),
    ]
}

fn pipelines() -> Vec<Case> {
    let three = ["/1", "/2", "/3"].map(|at| path(at, "")).concat();
    let named =
        |at: &str| format!("HTTP/1.1 200 OK\r\nX-At: {at}\r\nContent-Length: 2\r\n\r\n{at}");
    vec![
        must("pipeline-is-answered-in-order", "RFC 9112, 9.3.2")
            .sends(three)
            .answers(3)
            .script(move |seen| {
                let reply = Reply::new().read_body();
                // The first takes longest.
                let reply = if seen.target == b"/1" { reply.pause().pause() } else { reply };
                reply.send(named(&seen.path()))
            })
            .check(|seen| {
                for (at, body) in ["/1", "/2", "/3"].into_iter().enumerate() {
                    let is = seen.status(at, 200)?.content();
                    ensure(is == body, format!("{is} where {body} belongs"))?;
                }
                Ok(())
            }),
        must("pipeline-behind-a-body", "RFC 9112, 9.3.2")
            .sends("POST /1 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .answers(2)
            .check(|seen| {
                seen.only_of(&[("POST", "/1", b"hello"), ("GET", "/2", b"")])?;
                seen.status(1, 200).map(drop)
            }),
        must("pipeline-behind-chunks", "RFC 9112, 9.3.2")
            .sends("POST /1 HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .answers(2)
            .check(|seen| {
                seen.only_of(&[("POST", "/1", b"hello"), ("GET", "/2", b"")])?;
                seen.status(1, 200).map(drop)
            }),
        must("pipeline-ends-where-one-is-refused", "RFC 9112, 9.3.2")
            .sends(path("/1", "") + "GET /2 HTTP/1.1\r\nHost : app.test\r\n\r\n" + &path("/3", ""))
            .answers(3)
            .check(|seen| {
                seen.only_of(&[("GET", "/1", b"")])?;
                seen.closed()
            }),
        must("line-end-behind-a-body", "RFC 9112, 2.2")
            .sends("POST /1 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello\r\nGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .answers(2)
            .check(|seen| seen.only_of(&[("POST", "/1", b"hello"), ("GET", "/2", b"")])),
    ]
}
