//! What belongs to one connection stays on it.

use lb_core::testing::wire::{Headers, Reply, Seen};

use super::{Case, GET, SMUGGLED, answer, get, must, ours, post, refused_or_only};
use crate::correctness::{
    case::{Act, Level, ok},
    observed::{Verdict, ensure},
};

/// Lines of a request, and the headers that must not be passed on with it.
const TO_SERVER: &[(&str, &str, &[&str])] = &[
    ("named-by-connection", "Connection: X-Foo\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("named-behind-close", "Connection: close, X-Foo\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("named-behind-keep-alive", "Connection: keep-alive,X-Foo\r\nX-Foo: 1\r\n", &["x-foo"]),
    (
        "named-in-another-line",
        "Connection: keep-alive\r\nX-Foo: 1\r\nConnection: X-Foo\r\n",
        &["x-foo"],
    ),
    ("named-in-other-case", "connection: x-fOO\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("named-between-commas", "Connection: ,, X-Foo ,\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("named-twice-there", "Connection: X-Foo\r\nX-Foo: 1\r\nX-Foo: 2\r\n", &["x-foo"]),
    ("named-before-it", "X-Foo: 1\r\nConnection: X-Foo\r\n", &["x-foo"]),
    (
        "unnamed-keep-alive-1.0",
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        &["keep-alive"],
    ),
    ("unnamed-keep-alive", "Keep-Alive: timeout=5\r\n", &["keep-alive"]),
    ("unnamed-proxy-connection", "Proxy-Connection: keep-alive\r\n", &["proxy-connection"]),
    ("te", "TE: gzip\r\nConnection: TE\r\n", &["te"]),
    ("unnamed-te", "TE: gzip\r\n", &["te"]),
    ("unnamed-upgrade", "Upgrade: websocket\r\n", &["upgrade"]),
    (
        "upgrade-to-http2",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        &["upgrade", "http2-settings"],
    ),
    ("upgrade-to-http2-in-a-list", "Connection: Upgrade\r\nUpgrade: foo, H2C\r\n", &["upgrade"]),
];

/// The same of an answer.
const TO_CLIENT: &[(&str, &str, &[&str])] = &[
    ("named-by-connection", "Connection: X-Foo\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("named-behind-close", "Connection: close, X-Foo\r\nX-Foo: 1\r\n", &["x-foo"]),
    ("unnamed-keep-alive", "Connection: keep-alive\r\nKeep-Alive: timeout=99\r\n", &[]),
    ("unnamed-proxy-connection", "Proxy-Connection: keep-alive\r\n", &["proxy-connection"]),
    ("upgrade-unasked", "Upgrade: h2c\r\nConnection: Upgrade\r\n", &["upgrade"]),
    ("unnamed-te", "TE: trailers\r\n", &["te"]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(name, lines, gone) in TO_SERVER {
        let case = Case::new(level_of(name), format!("request-hop-{name}"), "RFC 9110, 7.6.1");
        cases.push(case.sends(get(lines)).check(move |seen| {
            seen.refused_or(|seen| without(&seen.only("GET", "/", b"")?.headers, gone, "server"))
        }));
    }
    for &(name, lines, gone) in TO_CLIENT {
        let case = Case::new(level_of(name), format!("answer-hop-{name}"), "RFC 9110, 7.6.1");
        let reply = answer(format!("Content-Length: 2\r\n{lines}"), "ok");
        cases.push(case.sends(get("")).answered(reply).check(move |seen| {
            let answer = seen.status(0, 200)?;
            ensure(
                answer.text("keep-alive").is_none_or(|is| !is.contains("99")),
                "client sees keep-alive",
            )?;
            without(&answer.headers, gone, "client")
        }));
    }
    cases.extend([
        must("close-to-us-is-not-for-the-server", "RFC 9110, 7.6.1")
            .sends(get("Connection: close\r\n"))
            .check(|seen| {
                let options = seen.only("GET", "/", b"")?.text("connection").unwrap_or_default();
                // Who uses a connection once says so himself.
                ensure(
                    options.is_empty()
                        || options.eq_ignore_ascii_case("close")
                        || options == "keep-alive",
                    options,
                )
            }),
        must("close-of-the-server-is-not-for-the-client", "RFC 9110, 7.6.1")
            .sends(get(""))
            .act(Act::Read("GET"))
            .sends(get(""))
            .answers(2)
            .reply(
                Reply::answer(answer("Connection: close\r\nContent-Length: 2\r\n", "ok")).close(),
            )
            .check(|seen| {
                seen.status(0, 200)?;
                seen.status(1, 200).map(drop)
            }),
        must("connection-names-transfer-encoding", "RFC 9110, 7.6.1")
            .sends(post(
                "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ))
            .method("POST")
            .check(|seen| refused_or_only(seen, ("POST", "/", b"hello"))),
        ours("trailers-are-asked-for")
            .sends(get("TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                let te = request.text("te");
                ensure(te.as_deref() == Some("trailers"), format!("server sees TE: {te:?}"))
            }),
        must("trailers-are-asked-for-between-two", "RFC 9110, 10.1.4")
            .sends(get("TE: trailers\r\nConnection: TE\r\n"))
            .check(|seen| {
                let request = seen.only("GET", "/", b"")?;
                let named = request.get("te").is_none() || request.lists("connection", "te");
                ensure(named, "server sees TE and no Connection: TE")
            }),
        ours("connection-names-forwarded-for")
            .sends(get("Connection: X-Forwarded-For, X-Forwarded-Proto\r\n"))
            .check(|seen| {
                seen.refused_or(|seen| {
                    let request = seen.only("GET", "/", b"")?;
                    ensure(request.get("x-forwarded-for").is_some(), "server isn't told the client")
                })
            }),
        must("connection-of-garbage", "RFC 9110, 7.6.1")
            .sends(get("Connection: (,\"\\,;=\r\n"))
            .check(|seen| refused_or_only(seen, GET)),
    ]);
    cases.extend(upgrades());
    cases
}

/// What no `Connection` names should be known to belong there.
fn level_of(name: &str) -> Level {
    match name {
        _ if name.starts_with("unnamed") => Level::Should,
        _ if name.starts_with("upgrade-to-http2") => Level::Ours,
        _ => Level::Must,
    }
}

const ASKED: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn upgrades() -> Vec<Case> {
    // The probe between the cases is a request like any other.
    let switches = |seen: &Seen| {
        if seen.get("upgrade").is_some() {
            Reply::answer(SWITCHED).send("from the server").hold()
        } else {
            ok(seen)
        }
    };
    vec![
        ours("upgrade-to-websocket")
            .sends(get(ASKED))
            .script(switches)
            .act(Act::Read("GET"))
            .act(Act::ReadBytes("from the server".len() as u64))
            .sends("from the client")
            .act(Act::UntilGot("from the client"))
            .check(|seen| {
                let answer = seen.answer(0)?;
                ensure(answer.status == 101, format!("client: {}", answer.status))?;
                let to_server =
                    seen.backend.iter().any(|all| all.bytes.ends_with(b"from the client"));
                ensure(to_server, "server doesn't get what follows")?;
                let text = String::from_utf8_lossy(&seen.heard);
                ensure(text.ends_with("from the server"), "client doesn't get what follows")
            }),
        must("upgrade-that-the-server-declines", "RFC 9110, 7.8")
            .sends(get(ASKED))
            .act(Act::Read("GET"))
            .sends(get(""))
            .answers(2)
            .check(|seen| {
                if seen.status(0, 403).is_ok() {
                    // Who takes no upgrades may say so.
                    return Ok(());
                }
                seen.status(0, 200)?;
                seen.status(1, 200).map(drop)
            }),
        must("upgrade-of-a-post-keeps-its-body", "RFC 9110, 7.8")
            .sends(
                [
                    &post(format!("Content-Length: {}\r\n{ASKED}", SMUGGLED.len()), SMUGGLED)[..],
                    &get(""),
                ]
                .concat(),
            )
            .method("POST")
            .answers(2)
            .check(|seen| {
                let posted = ("POST", "/", SMUGGLED.as_bytes());
                seen.only_of(&[posted, GET])
            }),
        must("upgrade-in-http-1.0-is-none", "RFC 9110, 7.8")
            .sends(format!("GET / HTTP/1.0\r\nHost: app.test\r\n{ASKED}\r\n"))
            .script(switches)
            .check(|seen| ensure(!seen.heard.starts_with(b"HTTP/1.1 101"), "client: 101")),
        must("upgrade-that-nobody-asked-for", "RFC 9110, 7.8")
            .sends(get(""))
            .reply(Reply::answer(SWITCHED).send("from the server").hold())
            .check(|seen| {
                let switched = seen.heard.starts_with(b"HTTP/1.1 101");
                ensure(!switched, "client: 101")?;
                seen.failed()
            }),
    ]
}

fn without(headers: &Headers, gone: &[&str], who: &str) -> Verdict {
    for name in gone {
        if let Some(value) = headers.text(name) {
            return Err(format!("{who} sees {name}: {value}"));
        }
    }
    // What is named stays here, so naming it tells something that isn't so.
    let named = gone.iter().find(|name| headers.lists("connection", name));
    ensure(named.is_none(), format!("{who} sees it named in Connection"))
}
