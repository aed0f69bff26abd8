//! From the API's types to ours.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, EndpointSettings, EventMessage, Health as ApiHealth,
    HealthStatusEnum,
};

use crate::{
    container::{Attachment, Container, Health, NetworkMode, Run, Summary},
    event::{Stamped, What},
};

/// What a health check printed is cut to this many characters.
const OUTPUT: usize = 160;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

pub(super) fn container(found: ContainerInspectResponse) -> Option<Container> {
    let config = found.config.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let network = found.network_settings.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();

    let published = network.ports.map(|ports| ports.into_keys().collect::<Vec<_>>());
    let exposed = published.filter(|ports| !ports.is_empty()).or(config.exposed_ports);
    let mut exposed: Vec<u16> =
        exposed.into_iter().flatten().filter_map(|port| tcp_port(&port)).collect();
    exposed.sort_unstable();

    // Negative is for ever; a day is as good, and can be added to any time.
    let seconds = |seconds: i64| u64::try_from(seconds).unwrap_or(DAY).min(DAY);
    Some(Container {
        id: found.id?.into(),
        name: found.name.unwrap_or_default().trim_start_matches('/').into(),
        created: found.created.as_deref().and_then(time).unwrap_or(SystemTime::UNIX_EPOCH),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        env: config.env.unwrap_or_default(),
        run: run(&state),
        health: state.health.map_or(Health::Unchecked, health),
        exposed,
        networks: attachments(network.networks),
        mode: match host.network_mode.as_deref() {
            Some("host") => NetworkMode::Host,
            Some("none") => NetworkMode::Other,
            Some(mode) if mode.starts_with("container:") => NetworkMode::Other,
            _ => NetworkMode::Networks,
        },
        stop_signal: config.stop_signal.and_then(|signal| signal.parse().ok()),
        stop_timeout: config.stop_timeout.map(seconds).map(Duration::from_secs),
    })
}

pub(super) fn summary(found: ContainerSummary) -> Option<Summary> {
    use ContainerSummaryStateEnum as S;
    let networks = found.network_settings.and_then(|settings| settings.networks);
    let addresses = attachments(networks)
        .into_iter()
        .filter_map(|network| network.address().map(|ip| (network.name, ip)))
        .collect();
    // With links there are several names; a container's own has one slash.
    let names = found.names.unwrap_or_default();
    let own =
        names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    let run = match found.state {
        Some(S::PAUSED) => Run::Paused,
        Some(S::RESTARTING) => Run::Restarting,
        Some(S::CREATED | S::EXITED | S::REMOVING | S::DEAD) => Run::Ended(None),
        Some(S::RUNNING | S::STOPPING | S::EMPTY) | None => Run::Running,
    };
    Some(Summary {
        id: found.id?.into(),
        name: own.unwrap_or_default().to_owned(),
        run,
        health: found.status.filter(|_| run == Run::Running).as_deref().map(listed_health),
        addresses,
    })
}

/// An event that matters, and when it happened by the engine's clock.
pub(super) fn event(event: EventMessage) -> Option<Stamped> {
    let nanos = event.time_nano.and_then(|nanos| u64::try_from(nanos).ok());
    let stamped = nanos.map(|nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
    let actor = event.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let attribute = |key: &str| attributes.get(key).map(String::as_str);
    let actor = actor.id.unwrap_or_default();
    Some((What::read(event.typ?.as_ref(), &event.action?, &actor, attribute)?, stamped))
}

fn run(state: &ContainerState) -> Run {
    use ContainerStateStatusEnum as S;
    match state.status {
        Some(S::PAUSED) => Run::Paused,
        Some(S::RESTARTING) => Run::Restarting,
        // It was told to leave, and an event says so.
        Some(S::RUNNING | S::STOPPING) => Run::Running,
        Some(S::CREATED) => Run::Ended(None),
        Some(S::EXITED | S::DEAD | S::REMOVING) => Run::Ended(state.exit_code),
        Some(S::EMPTY) | None if state.running == Some(true) => Run::Running,
        Some(S::EMPTY) | None => Run::Ended(state.exit_code),
    }
}

fn health(health: ApiHealth) -> Health {
    match health.status {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Unchecked,
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => {
            let last = health.log.and_then(|mut log| log.pop());
            let output = last.and_then(|check| check.output);
            Health::Unhealthy(output.as_deref().and_then(first_line))
        }
    }
}

fn first_line(output: &str) -> Option<Box<str>> {
    let line = output.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(OUTPUT).collect::<String>().into())
}

/// The list says it in words: `Up 2 minutes (healthy)`.
fn listed_health(status: &str) -> Health {
    if status.ends_with("(healthy)") {
        Health::Healthy
    } else if status.ends_with("(unhealthy)") {
        Health::Unhealthy(None)
    } else if status.ends_with("(health: starting)") {
        Health::Starting
    } else {
        Health::Unchecked
    }
}

fn attachments(networks: Option<HashMap<String, EndpointSettings>>) -> Vec<Attachment> {
    let mut all: Vec<_> = networks
        .into_iter()
        .flatten()
        .map(|(name, settings)| Attachment {
            name,
            id: settings.network_id.unwrap_or_default(),
            ipv4: address::<Ipv4Addr>(settings.ip_address.as_deref()),
            ipv6: address::<Ipv6Addr>(settings.global_ipv6_address.as_deref()),
            gateway: address::<IpAddr>(settings.gateway.as_deref())
                .or(address(settings.ipv6_gateway.as_deref())),
        })
        .collect();
    all.sort_unstable();
    all
}

/// What isn't there is an empty text, or what some engines write instead.
fn address<A: std::str::FromStr>(text: Option<&str>) -> Option<A> {
    text.filter(|text| *text != "invalid IP").and_then(|text| text.parse().ok())
}

fn tcp_port(text: &str) -> Option<u16> {
    match text.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use bollard::models::{EventActor, EventMessageTypeEnum};

    use super::*;
    use crate::event::Happened;

    #[test]
    fn words_of_the_list() {
        assert_eq!(listed_health("Up 2 minutes (healthy)"), Health::Healthy);
        assert_eq!(listed_health("Up 2 minutes (unhealthy)"), Health::Unhealthy(None));
        assert_eq!(listed_health("Up 2 seconds (health: starting)"), Health::Starting);
        assert_eq!(listed_health("Up 2 seconds"), Health::Unchecked);
        assert_eq!(listed_health("Up 2 seconds (Paused)"), Health::Unchecked);
    }

    #[test]
    fn only_tcp_ports_count() {
        assert_eq!(tcp_port("8080/tcp"), Some(8080));
        assert_eq!(tcp_port("53/udp"), None);
        assert_eq!(tcp_port("80"), Some(80));
        assert_eq!(tcp_port("http/tcp"), None);
    }

    #[test]
    fn what_a_check_printed_fits_on_a_line() {
        assert_eq!(
            first_line("\n  no\u{1b}[0m database \nmore").as_deref(),
            Some("no[0m database")
        );
        assert_eq!(first_line("\n \n"), None);
        assert_eq!(first_line(&"é".repeat(500)).map(|line| line.chars().count()), Some(OUTPUT));
    }

    #[test]
    fn times() {
        let time = time("2026-11-22T17:16:57.075040122Z").unwrap();
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::new(1_795_367_817, 75_040_122));
        assert_eq!(super::time("2026-11-22T19:16:57+02:00").map(|t| t < time), Some(true));
        assert_eq!(super::time("yesterday"), None);
    }

    #[test]
    fn an_event_says_when_it_happened() {
        let message = |time_nano| {
            event(EventMessage {
                typ: Some(EventMessageTypeEnum::CONTAINER),
                action: Some("start".into()),
                actor: Some(EventActor { id: Some("a".into()), attributes: None }),
                time_nano: Some(time_nano),
                ..EventMessage::default()
            })
            .unwrap()
        };
        let what = What::Container("a".into(), Happened::Start);
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_795_367_817, 75_040_122);
        assert_eq!(message(1_795_367_817_075_040_122_i64), (what.clone(), Some(at)));
        assert_eq!(message(-1), (what, None));
    }

    #[test]
    fn an_empty_inspection_is_no_panic() {
        assert_eq!(container(ContainerInspectResponse::default()), None);
        let id = Some("a".to_owned());
        let found = container(ContainerInspectResponse { id, ..Default::default() }).unwrap();
        assert_eq!(found.run, Run::Ended(None));
        assert_eq!(summary(ContainerSummary::default()), None);
        assert_eq!(event(EventMessage::default()), None);
    }
}
