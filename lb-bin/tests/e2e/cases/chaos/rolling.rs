//! Compose scales and replaces, both generations of it.

use std::path::Path;

use super::{rounds, times};
use crate::{
    compose::{Generation, Project, label},
    docker::docker,
    http,
    lb::View,
    load::{Load, Report},
    scope::Scope,
    wait,
};

super::super::cases! { chaos:
    scaling_and_replacing_with_docker_compose if || Generation::Plugin.needs(),
    scaling_and_replacing_with_docker_compose_1 if || Generation::Python.needs(),
}

fn scaling_and_replacing_with_docker_compose(scope: &Scope) {
    changes(scope, Generation::Plugin, "docker compose", |project, number| {
        project.run(&["up", "-d", "--no-build", "--scale", &format!("app={number}")]);
    });
}

fn scaling_and_replacing_with_docker_compose_1(scope: &Scope) {
    changes(scope, Generation::Python, "docker-compose 1", |project, number| {
        match number {
            // Both of its ways.
            5 => project.run(&["up", "-d", "--no-build", "--scale", "app=5"]),
            _ => project.run(&["scale", &format!("app={number}")]),
        };
    });
}

/// Compose itself keeps the machine busy: how slow requests were says little.
fn changes(scope: &Scope, generation: Generation, by: &str, scale: fn(&Project<'_>, usize)) {
    let project = project(scope, generation, "drain");
    let host = scope.host("app");
    project.run(&["up", "-d", "--no-build"]);
    let lb = balancer(&project);
    lb.ready(&host, 2);

    let load = Load::start(lb.address, "localhost");
    load.go_on(200);
    let rounds = rounds(1, 3);
    for _ in 0..rounds {
        scale(&project, 5);
        lb.ready(&host, 5);
        load.go_on(200);
        scale(&project, 1);
        lb.ready(&host, 1);
        load.go_on(200);
    }
    let report = load.stop(&format!("{by}: 2 to 5 to 1"));
    assert_eq!(report.by.len(), 1 + 4 * rounds, "{report}");
    done(&report, &format!("scale 2 → 5 → 1, {by}"), rounds);

    scale(&project, 3);
    lb.ready(&host, 3);
    let load = Load::start(lb.address, "localhost");
    for _ in 0..rounds {
        load.go_on(50);
        let recreate = ["up", "-d", "--no-build", "--no-deps", "--force-recreate"];
        project.run(&[&recreate[..], &["--scale", "app=3", "app"]].concat());
        lb.ready(&host, 3);
        load.go_on(100);
    }
    let report = load.stop(&format!("{by}: replace three at once"));
    assert_eq!(report.by.len(), 3 + 3 * rounds, "{report}");
    done(&report, &format!("replace 3 replicas at once, {by}"), rounds);

    let one_by_one = |project: &Project<'_>, what: &str| {
        let load = Load::start(lb.address, "localhost");
        for _ in 0..rounds {
            for old in project.containers("app") {
                load.go_on(50);
                docker(["stop", &old]);
                docker(["rm", &old]);
                scale(project, 3);
                lb.ready(&host, 3);
            }
            load.go_on(100);
        }
        let report = load.stop(&format!("{by}: replace three, one by one{what}"));
        assert_eq!(report.by.len(), 3 + 3 * rounds, "{report}");
        done(&report, &format!("replace 3 replicas one by one, {by}{what}"), rounds);
    };
    one_by_one(&project, "");

    // The same project, of apps that don't wait for what they are doing.
    let project = self::project(scope, generation, "exit");
    project.run(&["up", "-d", "--no-build", "--no-deps", "--scale", "app=3", "app"]);
    lb.ready(&host, 3);
    one_by_one(&project, ", app exits at once");
}

#[track_caller]
fn done(report: &Report, scenario: &str, rounds: usize) {
    report.tabulate(scenario, times(rounds)).none_failed();
}

/// Our compose file, as its users have it, of apps that take SIGTERM so.
fn project<'s>(scope: &'s Scope, generation: Generation, on_term: &str) -> Project<'s> {
    let (label, host) = (label(scope), scope.host("app"));
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("compose.yaml");
    let changes = format!(
        r#"
services:
  lb:
    {label}
    restart: "no"
    environment: {{ DEFAULT_HOST: "{host}" }}
  app:
    {label}
    restart: "no"
    environment: {{ VIRTUAL_HOST: "{host}", APP_ON_TERM: "{on_term}" }}
networks:
  default:
    {label}
"#
    );
    Project::new(scope, generation, &[&ours], &changes)
}

/// Waits until the project's balancer answers.
fn balancer(project: &Project<'_>) -> View {
    let lb = project.balancer("lb");
    let state = || project.run(&["logs", "lb"]);
    wait::until("the balancer", state, || http::ask(lb.admin, "GET", "lb", "/readyz").ok());
    lb
}
