//! What `/explain` answers, and who asks for it there.

mod answer;
mod question;
mod remedy;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use lb_core::http::{
    Plane,
    explain::{Inquiry, Match},
};

pub(crate) use answer::{
    Condition, Container, EndpointShare, Explanation, Goes, Request, Route, Service, Way,
};
pub(crate) use question::{Question, header};

/// Answers the query of a URL; else says what is wrong with it.
pub(crate) fn explain(plane: &Plane, query: &str) -> Result<Explanation, String> {
    let question = Question::parse(query)?;
    let of = question.of.trim();
    // Who asks about a client, or writes a URL, means a host.
    let is_request =
        question.client.is_some() || !question.headers.is_empty() || of.contains("://");
    let containers = if is_request { Err(Vec::new()) } else { plane.explain_endpoint(of) };
    let request = match inquiry(of, question.client, &question.headers) {
        Ok(inquiry) => Some(plane.explain_request(&inquiry)),
        Err(error) if containers.is_err() => return Err(error),
        Err(_) => None,
    };
    let is_named = |found_by| matches!(found_by, Match::Exact);
    let request = request.filter(|request| {
        containers.is_err() || request.route.as_ref().is_some_and(|it| is_named(it.found_by))
    });
    let candidates = containers.as_ref().err().cloned().unwrap_or_default();
    let containers = containers.unwrap_or_default();
    Ok(Explanation::new(&question, &containers, &candidates, request.as_ref()))
}

fn inquiry(
    of: &str,
    client: Option<IpAddr>,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Inquiry, String> {
    let mut inquiry: Inquiry =
        of.parse().map_err(|error| format!("{error}, or a container that is known"))?;
    inquiry.client = client;
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.append(name, value.clone());
    }
    inquiry.headers = all;
    Ok(inquiry)
}
