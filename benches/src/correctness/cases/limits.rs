//! Much of everything: taken whole, or refused.

use std::fmt::Write as _;

use super::{Case, get, must, ours, post};
use crate::correctness::observed::{Observed, Verdict, ensure};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for count in [50, 100, 200, 1000] {
        let mut lines = String::new();
        for at in 0..count {
            // Writing to a string succeeds.
            let _ = write!(lines, "X-{at}: {at}\r\n");
        }
        let case = must(format!("headers-{count}"), "RFC 9110, 5.4; RFC 6585, 5");
        cases.push(case.sends(get(lines)).check(move |seen| {
            refused_with(seen, &[431, 400, 413, 494], |seen| {
                let request = seen.only("GET", "/", b"")?;
                let missing =
                    (0..count).find(|at| request.text(&format!("x-{at}")) != Some(at.to_string()));
                ensure(missing.is_none(), "headers are missing")
            })
        }));
    }
    for (name, length) in [("4k", 4 << 10), ("16k", 16 << 10), ("64k", 64 << 10), ("1m", 1 << 20)] {
        let value = "v".repeat(length);
        let case = must(format!("header-of-{name}"), "RFC 9110, 5.4; RFC 6585, 5");
        cases.push(case.sends(get(format!("X-A: {value}\r\n"))).check(move |seen| {
            refused_with(seen, &[431, 400, 413, 494], |seen| {
                let request = seen.only("GET", "/", b"")?;
                ensure(request.text("x-a").is_some_and(|is| is.len() == length), "cut")
            })
        }));
        let target = format!("/{value}");
        let case = must(format!("target-of-{name}"), "RFC 9112, 3; RFC 9110, 15.5.15");
        let request = format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n");
        cases.push(case.sends(request).check(move |seen| {
            refused_with(seen, &[414, 400, 413, 431], |seen| {
                seen.only("GET", &target, b"").map(drop).map_err(|_| "another target".into())
            })
        }));
    }
    let name = "n".repeat(16 << 10);
    cases.extend([
        should_take("target-of-8000", 7999),
        must("header-name-of-16k", "RFC 9110, 5.4").sends(get(format!("{name}: b\r\n"))).check(
            move |seen| {
                refused_with(seen, &[431, 400, 413, 494], |seen| {
                    let request = seen.only("GET", "/", b"")?;
                    ensure(request.text(&name).is_some(), "cut")
                })
            },
        ),
        must("method-of-1000", "RFC 9112, 3")
            .sends(format!("{} / HTTP/1.1\r\nHost: app.test\r\n\r\n", "M".repeat(1000)))
            .check(|seen| seen.refused_or(|seen| seen.only(&"M".repeat(1000), "/", b"").map(drop))),
        must("body-of-a-megabyte", "RFC 9112, 6.2")
            .sends(post(format!("Content-Length: {}\r\n", 1 << 20), vec![b'x'; 1 << 20]))
            .method("POST")
            .check(|seen| {
                seen.status(0, 200)?;
                let request = &seen.requests()[..];
                ensure(matches!(request, [one] if one.body.len() == 1 << 20), "another body")
            }),
        must("answer-of-a-megabyte", "RFC 9112, 6.2")
            .sends(get(""))
            .answered(super::answer(
                format!("Content-Length: {}\r\n", 1 << 20),
                vec![b'x'; 1 << 20],
            ))
            .check(|seen| ensure(seen.status(0, 200)?.body.len() == 1 << 20, "another body")),
        ours("answer-of-100-headers")
            .sends(get(""))
            .answered(super::answer(
                (0..100).map(|at| format!("X-{at}: {at}\r\n")).collect::<String>()
                    + "Content-Length: 2\r\n",
                "ok",
            ))
            .check(|seen| {
                let answer = seen.status(0, 200)?;
                let missing = (0..100).find(|at| answer.get(&format!("x-{at}")).is_none());
                ensure(missing.is_none(), "headers are missing")
            }),
        must("answer-of-1000-headers", "RFC 9110, 5.4")
            .sends(get(""))
            .answered(super::answer(
                (0..1000).map(|at| format!("X-{at}: {at}\r\n")).collect::<String>()
                    + "Content-Length: 2\r\n",
                "ok",
            ))
            .check(|seen| match seen.answer(0)? {
                answer if answer.status >= 500 => Ok(()),
                answer => ensure(answer.get("x-999").is_some() && answer.body == b"ok", "cut"),
            }),
        ours("answer-header-of-8k")
            .sends(get(""))
            .answered(super::answer(
                format!("Content-Length: 2\r\nX-A: {}\r\n", "v".repeat(8000)),
                "ok",
            ))
            .check(|seen| match seen.answer(0)? {
                answer if answer.status == 502 => Err("client: 502".into()),
                answer => ensure(answer.text("x-a").is_some_and(|is| is.len() == 8000), "cut"),
            }),
    ]);
    cases
}

/// All should take request lines of 8000 bytes.
fn should_take(name: &str, length: usize) -> Case {
    let target = format!("/{}", "v".repeat(length - "GET / HTTP/1.1".len()));
    super::should(name, "RFC 9112, 3")
        .sends(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
        .check(move |seen| seen.only("GET", &target, b"").map(drop))
}

/// One of these statuses, or no answer at all, as who refuses may not read what he
/// refuses; or else it is like this.
fn refused_with(
    seen: &Observed,
    statuses: &[u16],
    or: impl FnOnce(&Observed) -> Verdict,
) -> Verdict {
    if seen.refused().is_err() {
        return or(seen);
    }
    match seen.answer(0) {
        Ok(answer) if !statuses.contains(&answer.status) => {
            Err(format!("client: {}", answer.status))
        }
        _ => Ok(()),
    }
}
