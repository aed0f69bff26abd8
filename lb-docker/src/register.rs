//! What a container means to the balancer.

use std::net::SocketAddr;

use lb_core::{
    endpoint::{
        Endpoint,
        Obstacle::{NotRunning, Unhealthy, Unreachable},
        Reason, State,
    },
    registry::{Binding, Registration},
};

use crate::{
    container::{Container, Health, Run},
    network::Vantage,
    settings::{Ready, Settings},
};

/// What events say of a container, beyond what an inspection shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// Nothing.
    On,
    /// It was told to leave.
    Out,
    /// It has ended, with this code if that is known.
    Gone(Option<i64>),
}

/// The endpoint that follows from a container, seen from `vantage`.
pub(crate) fn register(
    container: &Container,
    going: Going,
    vantage: &Vantage,
) -> Endpoint<Registration> {
    let registration = |bindings, problems| Registration {
        name: container.name.clone(),
        created: container.created,
        bindings,
        problems,
    };
    let idle = |problems, reason: &'static str| {
        Endpoint::new(registration(vec![], problems)).state(State::Down(reason.into()))
    };

    // `compose run` copies the labels of the service, and doesn't mean them.
    if container.label("com.docker.compose.oneoff") == Some("True") {
        return idle(vec![], "a one-off `compose run` container");
    }
    let settings = Settings::read(container);
    if settings.hosts.is_empty() {
        let reason = if settings.problems.is_empty() {
            "names no host: set VIRTUAL_HOST or the label lb.host"
        } else {
            "its settings can't be used"
        };
        return idle(settings.problems, reason);
    }

    let down = down(container, going, settings.ready);
    let address = match (going, container.run) {
        // By now the address may be another container's.
        (Going::Gone(_), _) | (_, Run::Ended(_)) => None,
        _ => vantage.address(container),
    };
    let state = match (down, going, address) {
        (Some(reason), ..) => State::Down(reason),
        (None, _, None) => State::Down(Reason::new(Unreachable, NO_ADDRESS)),
        (None, Going::Out, _) => State::Draining,
        (None, ..) => State::Active,
    };
    let bindings = settings.hosts.into_iter().map(|host| {
        let address = address.map(|ip| SocketAddr::new(ip, settings.port));
        let acme = settings.acme.of(&host);
        let mut binding = Binding::new(host, address);
        binding.protocol = settings.protocol;
        binding.verification = settings.verification;
        binding.server_name = settings.server_name.clone();
        binding.proxy_protocol = settings.proxy_protocol;
        binding.algorithm = settings.algorithm;
        binding.slow_start = settings.slow_start;
        binding.https = settings.https.clone();
        binding.https.acme = acme;
        binding
    });
    Endpoint::new(registration(bindings.collect(), settings.problems))
        .weight(settings.weight)
        .state(state)
}

const NO_ADDRESS: &str =
    "no address: it shares no network with the balancer; attach both to one network";

/// Why it can't serve now, wherever it is.
fn down(container: &Container, going: Going, ready: Ready) -> Option<Reason> {
    let not_running = |text: &'static str| Some(Reason::new(NotRunning, text));
    match (going, container.run) {
        (Going::Gone(code), _) => Some(ended(code)),
        (_, Run::Ended(code)) => Some(ended(code)),
        (_, Run::Restarting) => not_running("restarting"),
        (_, Run::Paused) => not_running("paused"),
        // It leaves anyhow, and what it has begun it may finish.
        (Going::Out, Run::Running) => None,
        (Going::On, Run::Running) => match &container.health {
            Health::Unchecked | Health::Healthy => None,
            Health::Starting if ready == Ready::Accept => None,
            Health::Starting => Some(Reason::new(Unhealthy, "health check hasn't passed yet")),
            Health::Unhealthy(None) => Some(Reason::new(Unhealthy, "unhealthy")),
            Health::Unhealthy(Some(output)) => {
                Some(Reason::new(Unhealthy, format!("unhealthy: {output}")))
            }
        },
    }
}

fn ended(code: Option<i64>) -> Reason {
    match code {
        None => Reason::new(NotRunning, "exited"),
        Some(code) => Reason::new(NotRunning, format!("exited ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use lb_core::endpoint::Obstacle;

    use super::*;
    use crate::container::{NetworkMode, running};

    fn app() -> Container {
        running("a", &["VIRTUAL_HOST=a.test,b.test", "VIRTUAL_PORT=8080"])
    }

    fn seen(container: &Container, going: Going) -> Endpoint<Registration> {
        register(container, going, &Vantage::Host)
    }

    #[track_caller]
    fn assert_down(endpoint: &Endpoint<Registration>, reason: &str) {
        let State::Down(said) = &endpoint.state else { panic!("it is {:?}", endpoint.state) };
        assert_eq!(said.as_str(), reason);
    }

    #[track_caller]
    fn obstacle(endpoint: &Endpoint<Registration>) -> Obstacle {
        let State::Down(reason) = &endpoint.state else { panic!("it is {:?}", endpoint.state) };
        reason.obstacle()
    }

    #[test]
    fn a_running_container_is_bound_to_each_of_its_hosts() {
        let endpoint = seen(&app(), Going::On);
        assert_eq!(endpoint.state, State::Active);
        let bindings = &endpoint.target.bindings;
        assert_eq!(bindings.len(), 2);
        for binding in bindings {
            assert_eq!(binding.address, Some("172.18.0.2:8080".parse().unwrap()));
        }
    }

    #[test]
    fn one_that_names_no_host_is_nobodys_problem() {
        for env in [&[][..], &["VIRTUAL_HOST="], &["VIRTUAL_HOST= , "]] {
            let endpoint = seen(&running("a", env), Going::On);
            assert_down(&endpoint, "names no host: set VIRTUAL_HOST or the label lb.host");
            assert_eq!(endpoint.target.bindings, []);
            assert_eq!(endpoint.target.problems, []);
        }
    }

    #[test]
    fn a_one_off_is_never_a_backend() {
        let mut container = app();
        container.labels.insert("com.docker.compose.oneoff".into(), "True".into());
        let endpoint = seen(&container, Going::On);
        assert_down(&endpoint, "a one-off `compose run` container");
        assert_eq!(endpoint.target.bindings, []);
        container.labels.insert("com.docker.compose.oneoff".into(), "False".into());
        assert_eq!(seen(&container, Going::On).state, State::Active);
    }

    #[test]
    fn quarantine_says_why() {
        let endpoint = seen(&running("a", &["VIRTUAL_HOST=a.test", "VIRTUAL_PORT=0"]), Going::On);
        assert_down(&endpoint, "its settings can't be used");
        assert_eq!(endpoint.target.bindings, []);
        assert_eq!(endpoint.target.problems.len(), 1);
    }

    #[test]
    fn health_decides_unless_told_otherwise() {
        let mut container = app();
        container.health = Health::Starting;
        assert_down(&seen(&container, Going::On), "health check hasn't passed yet");
        container.labels.insert("lb.ready".into(), "accept".into());
        assert_eq!(seen(&container, Going::On).state, State::Active);
        container.health = Health::Unhealthy(None);
        assert_down(&seen(&container, Going::On), "unhealthy");
        container.health = Health::Unhealthy(Some("no database".into()));
        assert_down(&seen(&container, Going::On), "unhealthy: no database");
    }

    #[test]
    fn who_has_ended_keeps_its_hosts_but_not_its_address() {
        let endpoint = seen(&app(), Going::Gone(Some(137)));
        assert_down(&endpoint, "exited (137)");
        assert_eq!(endpoint.target.bindings.len(), 2);
        assert!(endpoint.target.bindings.iter().all(|binding| binding.address.is_none()));
    }

    #[test]
    fn a_reason_is_of_the_first_kind_that_there_is() {
        let mut container = app();
        container.networks.clear();
        assert_eq!(obstacle(&seen(&container, Going::On)), Obstacle::Unreachable);
        container.health = Health::Starting;
        assert_eq!(obstacle(&seen(&container, Going::On)), Obstacle::Unhealthy);
        container.run = Run::Paused;
        assert_eq!(obstacle(&seen(&container, Going::On)), Obstacle::NotRunning);
        assert_eq!(obstacle(&seen(&app(), Going::Gone(None))), Obstacle::NotRunning);
        assert_eq!(obstacle(&seen(&running("a", &[]), Going::On)), Obstacle::Other);
    }

    #[test]
    fn who_leaves_drains_even_when_unhealthy() {
        let mut container = app();
        container.health = Health::Unhealthy(None);
        assert_eq!(seen(&container, Going::Out).state, State::Draining);
        container.run = Run::Paused;
        assert_down(&seen(&container, Going::Out), "paused");
    }

    #[test]
    fn without_a_shared_network_there_is_no_address() {
        let mut container = app();
        container.networks.clear();
        container.mode = NetworkMode::Other;
        let endpoint = seen(&container, Going::On);
        assert_down(&endpoint, NO_ADDRESS);
        assert_eq!(endpoint.target.bindings[0].address, None);
    }
}
