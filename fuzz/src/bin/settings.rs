//! What containers say. Each line of the input is a label, if it begins with `lb.` or
//! `com.`, or the number of a port that is exposed, or else an entry of the environment.
//!
//! The files are compiled in: from outside only an engine leads there, and a public way
//! to it would be there for tests alone.
#![no_main]

use std::{collections::BTreeMap, time::SystemTime};

use lb_core::registry::HostPattern;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../lb-docker/src/container.rs"]
mod container;
#[allow(dead_code)]
#[path = "../../../lb-docker/src/settings.rs"]
mod settings;
#[allow(dead_code)]
#[path = "../../../lb-docker/src/signal.rs"]
mod signal;

use container::{Container, Health, NetworkMode, Run};
use settings::{Ready, Settings};

fuzz_target!(|text: &str| {
    let mut said = container(text);
    let settings = Settings::read(&said);
    assert_ne!(settings.port, 0);
    for (at, host) in settings.hosts.iter().enumerate() {
        assert_eq!(host.to_string().parse::<HostPattern>().as_ref(), Ok(host));
        assert!(!settings.hosts[..at].contains(host), "{host} is there twice");
    }
    for problem in &settings.problems {
        let value = said.label(&problem.key).or(said.env(&problem.key));
        assert!(value.is_some_and(|value| value.contains(&problem.value)), "{problem}");
        assert!(!problem.remedy.is_empty());
    }
    if settings.hosts.is_empty() {
        return;
    }

    // Said in plain words, it is the same.
    let again = Settings::read(&container(&plain(&settings)));
    assert_eq!(again.problems, []);
    assert_eq!(plain(&again), plain(&settings));

    // What can't be used makes no difference to the rest.
    let without = |key: &str| settings.problems.iter().all(|problem| problem.key != key);
    said.labels.retain(|key, _| matches!(key.as_str(), "lb.host" | "lb.port") || without(key));
    assert_eq!(plain(&Settings::read(&said)), plain(&settings));
});

fn container(text: &str) -> Container {
    let mut container = Container {
        id: "id".into(),
        name: "name".into(),
        created: SystemTime::UNIX_EPOCH,
        labels: BTreeMap::new(),
        env: vec![],
        run: Run::Running,
        health: Health::Unchecked,
        exposed: vec![],
        networks: vec![],
        mode: NetworkMode::Networks,
        stop_signal: None,
        stop_timeout: None,
    };
    for line in text.split('\n') {
        if line.starts_with("lb.") || line.starts_with("com.") {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            container.labels.insert(key.to_owned(), value.to_owned());
        } else if let Ok(port) = line.parse::<u16>() {
            // As an engine lists them.
            if port > 0 {
                container.exposed.push(port);
            }
        } else {
            container.env.push(line.to_owned());
        }
    }
    container
}

fn plain(settings: &Settings) -> String {
    let hosts: Vec<_> = settings.hosts.iter().map(ToString::to_string).collect();
    let ready = if settings.ready == Ready::Accept { "accept" } else { "healthy" };
    let mut plain = format!(
        "lb.host={}\nlb.port={}\nlb.proto={}\nlb.weight={}\nlb.ready={ready}",
        hosts.join(","),
        settings.port,
        settings.protocol,
        settings.weight,
    );
    if let Some(verification) = settings.verification {
        plain += &format!("\nlb.upstream_verify={verification}");
    }
    if let Some(name) = &settings.server_name {
        plain += &format!("\nlb.upstream_name={name}");
    }
    if let Some(version) = settings.proxy_protocol {
        plain += &format!("\nlb.proxy_protocol={version}");
    }
    if let Some(algorithm) = settings.algorithm {
        plain += &format!("\nlb.algorithm={algorithm}");
    }
    if let Some(time) = settings.slow_start {
        plain += &format!("\nlb.slow_start={}", humantime::format_duration(time));
    }
    plain
}
