//! Why a container is used, or isn't.

use super::{Page, percent, reckoned};
use crate::{
    explain::{Condition, Container, Service},
    terminal::text::{Tone, age},
};

pub(super) fn render(page: &mut Page, container: &Container) {
    let Container { name, services, .. } = container;
    let conditions = || container.conditions.iter().chain(services.iter().flat_map(of));
    let unmet = conditions().filter(|one| one.met == Some(false)).map(wanted);
    let unmet: Vec<_> = unmet.map(|(_, not)| not).collect();
    let verdict = match (container.served, unmet.as_slice()) {
        (true, _) if services.len() == 1 => {
            format!("{name} gets requests for {}.", services[0].name)
        }
        (true, _) => format!("{name} gets requests for {} hosts.", services.len()),
        (false, []) => format!("{name} gets no requests at the moment."),
        (false, unmet) => format!("{name} gets no requests: {}.", unmet.join(", and ")),
    };
    page.verdict(container.served, &verdict);
    // Of a container's identity people know the beginning.
    let id = container.id.get(..12).filter(|_| container.id.len() == 64);
    let id = id.unwrap_or(&container.id);
    let Container { source, since, seconds, .. } = container;
    page.line(&format!("known to {source} as {id}; as it is since {since} ({})", age(*seconds)));
    container.conditions.iter().for_each(|one| answer(page, one));
    for service in services {
        let it = &service.endpoint;
        let address = it.address.as_deref().map(|it| format!(" at {it}")).unwrap_or_default();
        page.text.push('\n');
        page.line(&format!(
            "for {} ({}){address}: {} since {} ({}), {} in flight",
            service.name,
            service.algorithm,
            it.state,
            it.since,
            age(it.seconds),
            it.in_flight
        ));
        service.conditions.iter().for_each(|one| answer(page, one));
        let share = match it.share {
            0.0 => "none of the requests".to_owned(),
            share => format!("{} of the requests, {}", percent(share), reckoned(&service.basis)),
        };
        page.answer("->", Tone::Faint, &share);
    }
}

fn of(service: &Service) -> &[Condition] {
    &service.conditions
}

fn answer(page: &mut Page, condition: &Condition) {
    let (word, tone) = match condition.met {
        Some(true) => ("yes", Tone::Good),
        Some(false) => ("no", Tone::Bad),
        None => ("-", Tone::Faint),
    };
    let (wanted, _) = wanted(condition);
    match &condition.note {
        Some(note) => page.answer(word, tone, &format!("{wanted}: {note}")),
        None => page.answer(word, tone, wanted),
    }
    if let Some(remedy) = &condition.remedy {
        page.answer("", Tone::Plain, &format!("-> {remedy}"));
    }
}

/// What is wanted of a container, and what it is if that isn't met.
fn wanted(condition: &Condition) -> (&str, &str) {
    match condition.test.as_str() {
        "understood" => ("its settings are understood", "its settings can't be used"),
        "asks_for_a_host" => ("it asks for a host", "it asks for no host"),
        "running" => ("it runs", "it doesn't run"),
        "healthy" => ("it is healthy, or has no health check", "it isn't healthy"),
        "reachable" => {
            ("it has an address that is reached from here", "there is no way to reach it")
        }
        "staying" => ("it was not told to stop", "it was told to stop"),
        "undrained" => ("it is not drained", "it is drained"),
        "weighted" => ("its weight is more than 0", "its weight is 0"),
        "accepting" => ("it accepts connections", "it accepts no connections"),
        "answering" => ("it answers, and fails no more than others", "it is left alone"),
        other => (other, other),
    }
}
