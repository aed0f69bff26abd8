//! Methods, and what they may carry.

use super::{Case, Observed, must, ours, refused_or_only, should};
use crate::correctness::observed::ensure;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PURGE", "M-SEARCH"]
    {
        cases.push(
            must(format!("method-{}", method.to_lowercase()), "RFC 9110, 9.1")
                .sends(format!("{method} /a HTTP/1.1\r\nHost: app.test\r\n\r\n"))
                .method(method)
                .check(move |seen| {
                    let body = seen.only(method, "/a", b"").map(drop);
                    if method.len() > 7 || method == "PURGE" {
                        seen.refused_or(|_| body)
                    } else {
                        body
                    }
                }),
        );
    }
    for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH"] {
        let (name, rule) =
            (format!("body-of-{}", method.to_lowercase()), "RFC 9110, 9.3; RFC 9112, 6.3");
        let request =
            format!("{method} /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello");
        cases.push(must(name, rule).sends(request).method(method).check(move |seen| {
            let whole = seen.only(method, "/a", b"hello").map(drop);
            if method == "GET" { seen.refused_or(|_| whole) } else { whole }
        }));
    }
    cases.extend([
        must("body-of-head", "RFC 9112, 6.3")
            .sends("HEAD /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello")
            .method("HEAD")
            .check(|seen| refused_or_only(seen, ("HEAD", "/a", b"hello"))),
        must("method-lower-case", "RFC 9110, 9.1")
            .sends("get /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("get", "/a", b""))),
        must("method-of-odd-characters", "RFC 9110, 9.1")
            .sends("!#$%&'*+-.^_`|~ /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(|seen| refused_or_only(seen, ("!#$%&'*+-.^_`|~", "/a", b""))),
        must("options-asterisk", "RFC 9112, 3.2.4")
            .sends("OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .method("OPTIONS")
            .check(|seen| match seen.requests()[..] {
                // Who answers it himself says what he can do.
                [] => seen.answer(0).map(drop),
                _ => seen.only("OPTIONS", "*", b"").map(drop),
            }),
        should("asterisk-of-another-method", "RFC 9112, 3.2.4")
            .sends("GET * HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(Observed::refused),
        should("authority-form-of-another-method", "RFC 9112, 3.2.3")
            .sends("GET app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .check(Observed::refused),
        ours("connect")
            .sends("CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .method("CONNECT")
            .check(Observed::refused),
        ours("connect-in-origin-form")
            .sends("CONNECT / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .method("CONNECT")
            .check(Observed::refused),
        ours("connect-is-no-way-in")
            .sends("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
            .method("CONNECT")
            .check(|seen| match seen.answer(0) {
                Ok(answer) => ensure(answer.status >= 300, "a tunnel"),
                Err(_) => Ok(()),
            }),
        ours("trace")
            .sends("TRACE / HTTP/1.1\r\nHost: app.test\r\nCookie: secret\r\n\r\n")
            .method("TRACE")
            .check(Observed::refused),
        must("trace-with-a-body", "RFC 9110, 9.3.8")
            .sends("TRACE / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello")
            .method("TRACE")
            .check(|seen| refused_or_only(seen, ("TRACE", "/", b"hello"))),
        must("max-forwards-0-ends-here", "RFC 9110, 7.6.2")
            .sends("OPTIONS /a HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 0\r\n\r\n")
            .method("OPTIONS")
            .check(|seen| {
                seen.answer(0)?;
                ensure(seen.requests().is_empty(), "passed on")
            }),
        must("max-forwards-counts-down", "RFC 9110, 7.6.2")
            .sends("OPTIONS /a HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 5\r\n\r\n")
            .method("OPTIONS")
            .check(|seen| {
                seen.refused_or(|seen| {
                    let is = seen.only("OPTIONS", "/a", b"")?.text("max-forwards");
                    ensure(is.as_deref() == Some("4"), format!("server sees {is:?}"))
                })
            }),
        should("max-forwards-of-get-is-nothing", "RFC 9110, 7.6.2")
            .sends("GET / HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 0\r\n\r\n")
            .check(|seen| seen.only("GET", "/", b"").map(drop)),
        must("post-without-body", "RFC 9112, 6.3")
            .sends("POST / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .method("POST")
            .check(|seen| {
                // Who asks for a length may.
                seen.refused_or(|seen| seen.only("POST", "/", b"").map(drop))
            }),
        must("post-of-length-0", "RFC 9112, 6.3")
            .sends("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n")
            .method("POST")
            .check(|seen| seen.only("POST", "/", b"").map(drop)),
    ]);
    cases
}
