//! The balancer's own life: it is configured anew, succeeded, updated.

use std::{fs, path::Path, process::Command};

use super::rounds;
use crate::{
    compose::{Generation, Project, label, socket},
    docker::docker,
    images,
    lb::Lb,
    load::{Echoes, Load},
    scope::Scope,
};

super::super::cases! { chaos:
    it_is_reloaded,
    another_process_takes_over,
    two_side_by_side_are_updated if Generation::any,
}

/// Upgraded connections that talk all the while.
const ECHOES: usize = 4;

/// What each reload adds shows that it has happened.
fn it_is_reloaded(scope: &Scope) {
    let host = scope.host("app");
    let replicas = ["a", "b"].map(|name| scope.app(name).hosts(&["app"]).start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lb.toml");
    let configure = |other: &str, algorithm: &str| {
        let new = folder.path().join("new.toml");
        let text = format!(
            "algorithm = \"{algorithm}\"\n[[service]]\nhost = \"{other}\"\nendpoints = [\"{}:8484\"]\n",
            replicas[0].ip()
        );
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    configure(&scope.host("other"), "round_robin");
    let lb = Lb::with(|lb| {
        lb.env("LB_CONFIG", &file);
    });
    lb.ready(&host, 2);
    lb.ready(&scope.host("other"), 1);
    let (load, echoes) = (Load::start(lb.address, &host), Echoes::start(lb.address, &host, ECHOES));
    load.go_on(100);

    let rounds = rounds(4, 40);
    for round in 0..rounds {
        let other = format!("other{round}");
        let algorithm = ["least_request", "peak_ewma", "round_robin"][round % 3];
        configure(&scope.host(&other), algorithm);
        lb.signal("HUP");
        lb.ready(&scope.host(&other), 1);
        assert_eq!(lb.served_from(&scope.host(&other)), "a");
        load.go_on(100);
    }
    // One that can't be used changes nothing.
    fs::write(&file, "algorithm = \"by_chance\"\n").unwrap();
    lb.signal("HUP");
    lb.until("the complaint", |_| lb.stderr().contains("by_chance").then_some(()));
    load.go_on(100);
    echoes.go_on(10 * ECHOES as u64);
    done(load, echoes, &format!("reload (SIGHUP) {rounds} times"));
}

/// The one before finishes what it has, and ends when that is done.
fn another_process_takes_over(scope: &Scope) {
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).start();
    }
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let mut lb = Lb::with(|lb| succeeding(lb, &control));
    lb.ready(&host, 2);
    let (address, admin) = (lb.address, lb.admin);
    let load = Load::start(address, &host);
    let echoes = Echoes::start(address, &host, ECHOES);
    load.go_on(100);

    let rounds = rounds(3, 20);
    let mut before = Vec::new();
    for _ in 0..rounds {
        let next = Lb::with(|lb| {
            succeeding(lb, &control);
            lb.env("LB_LISTEN", address.to_string())
                .env("LB_ADMIN", admin.to_string())
                .env("LB_TAKE_OVER", "true");
        });
        let old = std::mem::replace(&mut lb, next);
        assert_eq!((lb.address, lb.admin), (address, admin));
        lb.ready(&host, 2);
        load.go_on(200);
        echoes.go_on(10 * ECHOES as u64);
        // It is this one that answers.
        old.until_said("another process has taken over");
        let answered = lb.metrics().count("lb_requests_total", &[("service", &host)]);
        assert!(answered >= 200, "{answered} answered: {}", lb.stderr());
        before.push(old);
    }
    done(load, echoes, &format!("another process takes over, {rounds} times"));
    for mut old in before {
        let status = old.ended();
        assert_eq!(status.code(), Some(0), "{status}: {}", old.stderr());
    }
}

/// What all the processes that take over from each other have in common. Upgraded
/// connections stay with the one they began with, for at most this long.
fn succeeding(lb: &mut Command, control: &Path) {
    lb.env("LB_CONTROL", control).env("LB_DRAIN_TIMEOUT", "5m");
}

#[track_caller]
fn done(load: Load, echoes: Echoes, title: &str) {
    let heard = echoes.stop();
    let report = load.stop(title);
    let (number, ms) = (heard.echoes, heard.longest.as_millis());
    let broken = heard.broken.len();
    let note = format!("{number} echoes, the longest wait {ms} ms, {broken} of {ECHOES} cut off");
    report.tabulate(title, note).none_failed();
    assert!(heard.broken.is_empty(), "{heard:?}");
}

/// Behind a third one, which knows nothing of containers: as one behind whatever
/// else spreads requests over machines.
fn two_side_by_side_are_updated(scope: &Scope) {
    let generation = Generation::installed().next().unwrap();
    let network = scope.small_network();
    let [one, two] = [2, 3].map(|number| network.address(number));
    let host = scope.host("app");
    let label = label(scope);
    let (lb, app, socket, net) = (images::lb(), images::app(), socket(), &network.name);
    let balancer = |address: &str| {
        format!(
            r#"
    image: {lb}
    {label}
    user: "0"
    environment: {{ LB_ADMIN: "0.0.0.0:9180", TRUST_DOWNSTREAM_PROXY: "true", LB_ACCESS_LOG: "off" }}
    volumes: ["{socket}:/var/run/docker.sock:ro"]
    networks: {{ net: {{ ipv4_address: {address} }} }}
"#
        )
    };
    let text = format!(
        r#"
services:
  one: {one}
  two: {two}
  app:
    image: {app}
    {label}
    environment: {{ VIRTUAL_HOST: "{host}" }}
    healthcheck: {{ disable: true }}
    networks: [net]
networks:
  net:
    external: true
    name: {net}
"#,
        one = balancer(&one),
        two = balancer(&two)
    );
    let project = Project::new(scope, generation, &[], &text);
    // First those whose addresses are fixed.
    project.run(&["up", "-d", "one", "two"]);
    project.run(&["up", "-d", "--scale", "app=2"]);
    let front = Lb::with(|lb| {
        lb.env("LB_DOCKER", "off").env("LB_UPSTREAM", format!("{host}={one}:80,{two}:80"));
    });
    front.ready(&host, 2);
    let load = Load::start(front.address, &host);
    load.until("answers of both apps", |report| report.by.len() == 2);

    let rounds = rounds(1, 5);
    for _ in 0..rounds {
        for service in ["one", "two"] {
            let before = project.containers(service);
            project.run(&["up", "-d", "--no-deps", "--force-recreate", service]);
            assert_ne!(project.containers(service), before);
            front.ready(&host, 2);
            load.go_on(200);
        }
    }
    let report = load.stop("two balancers are updated one after the other");
    // What the front one has repeated would be a failure to anybody else. That one
    // ends what it was asked is none of the reasons it may have.
    let metrics = front.metrics();
    let retries =
        |reason| metrics.count("lb_retries_total", &[("service", &host), ("reason", reason)]);
    let reasons = ["connect", "stale", "silent", "left"];
    let repeated: Vec<_> =
        reasons.iter().map(|&reason| format!("{} {reason}", retries(reason))).collect();
    let note = format!(
        "behind a third one, which repeated {}; updates of each: {rounds}",
        repeated.join(", ")
    );
    report.tabulate("two balancers side by side, updated one by one", note).none_failed();
    assert_eq!(retries("reset"), 0, "{report}");
    // They are on the network, which goes with the scope.
    let all = ["one", "two", "app"].map(|service| project.containers(service)).concat();
    docker(["rm", "--force"].into_iter().map(str::to_owned).chain(all));
}
