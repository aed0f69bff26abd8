//! The list of cases, a file for each kind.

mod answers;
mod broken_answers;
mod chunks;
mod connections;
mod expectations;
mod forwarding;
mod heads;
mod hop_by_hop;
mod hosts;
mod lengths;
mod limits;
mod methods;
mod reuse;
mod smuggling;
mod targets;
mod trailers;

use super::{
    case::{Case, Level},
    observed::{Expected, Observed, Verdict},
};

/// All cases, in the order of the page.
pub fn all() -> Vec<Case> {
    let groups = [
        ("Smuggling", smuggling::cases()),
        ("Content-Length", lengths::cases()),
        ("Chunks", chunks::cases()),
        ("Trailers", trailers::cases()),
        ("Heads", heads::cases()),
        ("Much of everything", limits::cases()),
        ("Hosts", hosts::cases()),
        ("Targets", targets::cases()),
        ("Methods", methods::cases()),
        ("Hop by hop", hop_by_hop::cases()),
        ("Header values, and who the client is", forwarding::cases()),
        ("Connections", connections::cases()),
        ("Connections that are used again", reuse::cases()),
        ("Expectations and interim answers", expectations::cases()),
        ("Answers", answers::cases()),
        ("Broken answers", broken_answers::cases()),
    ];
    let groups = groups.into_iter();
    groups
        .flat_map(|(group, cases)| cases.into_iter().map(move |case| Case { group, ..case }))
        .collect()
}

fn must(name: impl Into<String>, rule: &'static str) -> Case {
    Case::new(Level::Must, name, rule)
}

fn should(name: impl Into<String>, rule: &'static str) -> Case {
    Case::new(Level::Should, name, rule)
}

fn ours(name: impl Into<String>) -> Case {
    Case::new(Level::Ours, name, "ours")
}

/// A GET of `/` with these lines in its head, each with its end.
fn get(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: app.test\r\n", lines.as_ref(), b"\r\n"].concat()
}

/// A POST to `/` with these lines in its head, and this behind it.
fn post(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: app.test\r\n", lines.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// A POST in chunks.
fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// An answer with these lines in its head, and this behind it.
fn answer(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", lines.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// A request that must not get to the server.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// What the server sees of [`get`].
const GET: Expected<'static> = ("GET", "/", b"");

/// The request was refused, or the server saw nothing but this.
fn refused_or_only(seen: &Observed, expected: Expected<'_>) -> Verdict {
    let (method, target, body) = expected;
    seen.refused_or(|seen| seen.only(method, target, body).map(drop))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_of_one_case_each() {
        let mut names = HashSet::new();
        for case in all() {
            assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        }
    }
}
