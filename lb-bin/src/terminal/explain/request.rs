//! What would become of a request.

use super::{Page, percent, reckoned};
use crate::{
    explain::{EndpointShare, Explanation, Goes, Request, Route, Way},
    terminal::{
        table::{Cell, Table},
        text::Tone,
    },
};

pub(super) fn render(page: &mut Page, explanation: &Explanation, request: &Request) {
    page.verdict(request.served, &verdict(request));
    if let Some(route) = &request.route {
        page.fact("host", &found(request, route));
    }
    ways(page, request);
    forwarded(page, request);
    if let Some(route) = &request.route {
        algorithm(page, route);
        endpoints(page, route);
    }
    near(page, request);
    if !explanation.candidates.is_empty() {
        let names = explanation.candidates.join(", ");
        page.line(&format!("or is a container meant? There are {names}"));
    }
}

fn verdict(request: &Request) -> String {
    let Request { host, scheme, .. } = request;
    let url = format!("{scheme}://{host}");
    if let (Some(reason), Some(status)) = (&request.refused, request.status) {
        let why = match reason.as_str() {
            "no_route" => "nothing here names this host, and there is no default host",
            "bad_host" => "this is no host",
            "uri_too_long" => "its path and query are too long",
            "overload" => "memory is about to run out",
            _ => "the balancer refuses it",
        };
        return format!("{url} gets {status} ({reason}): {why}.");
    }
    let mut url = url;
    let https = request.https.as_ref();
    if scheme == "https" {
        match https {
            None => return format!("{url} can't be reached: no HTTPS is served here."),
            Some(it) if it.certificate.is_none() => {
                return format!("{url} can't be reached: there is no certificate for it.");
            }
            Some(it) if !it.serves => {
                return format!("{url} gets 503 (scheme): this host is served by HTTP alone.");
            }
            Some(_) => {}
        }
    } else {
        match &request.http {
            Way::Serve => {}
            Way::Redirect { status, location } => {
                if https.is_some_and(|it| it.certificate.is_none()) {
                    return format!(
                        "{url} is sent to {location} ({status}), and there is no certificate."
                    );
                }
                url = format!("{url} is sent to {location} ({status}), and there");
            }
            Way::Refuse { status, reason } => {
                return format!(
                    "{url} gets {status} ({reason}): this host is served by HTTPS alone."
                );
            }
        }
    }
    format!("{url} {}.", request.route.as_ref().map(goes).unwrap_or_default())
}

fn goes(route: &Route) -> String {
    let used = || route.endpoints.iter().filter(|one| one.share > 0.0);
    match &route.goes {
        Goes::To { endpoint, tried: None, .. } => format!("goes to {endpoint}"),
        Goes::To { endpoint, tried: Some(tried), .. } => {
            format!("goes to {endpoint}, while {tried} is tried with one request at a time")
        }
        Goes::OneOf => match (used().count(), used().next()) {
            (1, Some(only)) => format!("goes to {}, the only one that is used", only.endpoint),
            (n, _) => format!("goes to one of {n}"),
        },
        Goes::Waits { seconds } => {
            let none = match route.endpoints.len() {
                0 => "its last container has gone".to_owned(),
                1 => "its only container isn't ready".to_owned(),
                n => format!("none of its {n} containers is ready"),
            };
            format!("waits, for {seconds} s at most, and then gets 503 (no_endpoint): {none}")
        }
    }
}

fn found(request: &Request, route: &Route) -> String {
    let Route { service, .. } = route;
    match route.found_by.as_str() {
        "exact" => format!("{service}, by this very name"),
        "wildcard" => format!("{}, by the wildcard {service}", request.host),
        "default" => {
            format!("{}, which nothing names; {service} is the default host", request.host)
        }
        other => format!("{service} ({other})"),
    }
}

fn ways(page: &mut Page, request: &Request) {
    let Some(https) = &request.https else {
        if request.route.is_some() {
            page.fact("HTTPS", "none is served here (--certificates)");
        }
        return;
    };
    let http = match &request.http {
        Way::Serve => "served".to_owned(),
        Way::Redirect { status, location } => format!("{status} to {location}"),
        Way::Refuse { status, reason } => format!("{status} ({reason})"),
    };
    page.fact("HTTP", &http);
    let demands = if https.demands_certificate { "; clients have to show one, too" } else { "" };
    let https = match &https.certificate {
        None => format!(
            "no certificate: put {0}.crt and {0}.key into the folder, or order one (lb.acme)",
            request.host
        ),
        Some(name) if https.serves => format!("served, with the certificate {name}{demands}"),
        Some(name) => format!("503 (scheme), with the certificate {name}"),
    };
    page.fact("HTTPS", &https);
}

fn forwarded(page: &mut Page, request: &Request) {
    let believed = match (request.believed, &request.speaks_for) {
        (Some(true), Some(ip)) => format!("believed: the client is taken for {ip}"),
        (Some(true), None) => "believed (TRUST_DOWNSTREAM_PROXY)".to_owned(),
        (Some(false), _) => "not believed of this client, and replaced".to_owned(),
        (None, _) => "depends on who connects (TRUST_DOWNSTREAM_PROXY); see --client".to_owned(),
    };
    if request.route.is_some() {
        page.fact("X-Forwarded", &believed);
    }
}

fn algorithm(page: &mut Page, route: &Route) {
    let Route { algorithm, key, .. } = route;
    let text = match (route.hashes, key, &route.goes) {
        (true, Some(key), Goes::To { endpoint, .. }) => {
            format!("{algorithm}: the client {key} stays with {endpoint}")
        }
        (true, ..) => {
            format!("{algorithm}: a client stays with its container; see --client for one's own")
        }
        (false, ..) => algorithm.clone(),
    };
    page.fact("algorithm", &text);
}

fn endpoints(page: &mut Page, route: &Route) {
    let mut table =
        Table::new(&["ENDPOINT", "STATE", ">SHARE", "ADDRESS", ">WEIGHT", ">IN FLIGHT", "WHY"]);
    let chosen = |one: &EndpointShare| match &route.goes {
        Goes::To { id, .. } => one.id == *id,
        _ => one.share > 0.0,
    };
    for one in &route.endpoints {
        let tone = if chosen(one) { Tone::Good } else { Tone::Plain };
        table.row(vec![
            Cell::toned(&one.endpoint, tone),
            Cell::toned(&one.state, Tone::of_state(&one.state)),
            percent(one.share).into(),
            one.address.as_deref().unwrap_or("-").into(),
            one.weight.to_string().into(),
            one.in_flight.to_string().into(),
            one.reasons.join("; ").into(),
        ]);
    }
    if table.is_empty() {
        return;
    }
    page.fact("shares", reckoned(&route.basis));
    match route.waiting {
        0 => {}
        n => page.fact("waiting", &format!("{n} requests, for one of them to become ready")),
    }
    page.text.push('\n');
    page.text.push_str(&table.render("  ", page.colored));
}

fn near(page: &mut Page, request: &Request) {
    if request.refused.as_deref() == Some("no_route") {
        let host = &request.host;
        page.line(&format!(
            "-> a container asks for it by VIRTUAL_HOST={host} or the label lb.host={host}; \
             --default-host says who answers for all that nobody names"
        ));
    }
    for one in &request.near {
        let (name, why) = (&one.name, &one.why);
        page.line(&match one.nearness.as_str() {
            "similar" => format!("near: {why}"),
            "quarantined" => format!("near: {name} is in quarantine, and may ask for it: {why}"),
            _ => format!("near: {name} asks for nothing: {why}"),
        });
    }
}
