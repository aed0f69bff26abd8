//! The balancer as a container, under both generations of Compose.

use std::path::Path;

use crate::{
    compose::{Generation, Project, label, socket},
    http, images,
    lb::View,
    load::Load,
    scope::Scope,
    wait,
};

super::cases! {
    scaling_with_docker_compose_fails_no_request if || Generation::Plugin.needs(),
    scaling_with_the_old_docker_compose_fails_no_request if || Generation::Python.needs(),
    the_compose_file_of_the_exercise_works_with_another_image if Generation::any,
}

fn scaling_with_docker_compose_fails_no_request(scope: &Scope) {
    scaling(scope, Generation::Plugin, "docker compose, 2 to 5 to 1", |project, number| {
        project.run(&["up", "-d", "--no-build", "--scale", &format!("app={number}")]);
    });
}

fn scaling_with_the_old_docker_compose_fails_no_request(scope: &Scope) {
    scaling(scope, Generation::Python, "docker-compose 1, 2 to 5 to 1", |project, number| {
        match number {
            // Both of its ways.
            5 => project.run(&["up", "-d", "--no-build", "--scale", "app=5"]),
            _ => project.run(&["scale", &format!("app={number}")]),
        };
    });
}

fn scaling(scope: &Scope, generation: Generation, title: &str, scale: fn(&Project<'_>, usize)) {
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
    environment: {{ VIRTUAL_HOST: "{host}" }}
networks:
  default:
    {label}
"#
    );
    let project = Project::new(scope, generation, &[&ours], &changes);
    project.run(&["up", "-d", "--no-build"]);
    let lb = balancer(&project);
    lb.ready(&host, 2);

    let load = Load::start(lb.address, "localhost");
    load.go_on(200);
    scale(&project, 5);
    lb.ready(&host, 5);
    load.go_on(400);
    scale(&project, 1);
    lb.ready(&host, 1);
    load.go_on(400);
    let report = load.stop(title);
    // Compose itself keeps the machine busy: how slow they were says little.
    report.none_failed();
    assert_eq!(report.by.len(), 5, "{report}");
}

/// Waits until the project's balancer answers.
fn balancer(project: &Project<'_>) -> View {
    let lb = project.balancer("lb");
    let state = || project.run(&["logs", "lb"]);
    wait::until("the balancer", state, || http::ask(lb.admin, "GET", "lb", "/readyz").ok());
    lb
}

/// As in the exercise: only the proxy's image is another, and the port a free one.
fn the_compose_file_of_the_exercise_works_with_another_image(scope: &Scope) {
    let generation = Generation::installed().next().unwrap();
    let (label, host) = (label(scope), scope.host("appy"));
    let text = format!(
        r#"
version: "2"
services:
  appy:
    image: {app}
    environment:
      - VIRTUAL_HOST={host}
      - VIRTUAL_PORT=8484
    # The app of the exercise has no health check.
    healthcheck: {{ disable: true }}
    {label}
  proxy:
    image: {lb}
    ports:
      - "127.0.0.1::80"
    volumes:
      - {socket}:/tmp/docker.sock:ro
    {label}
networks:
  default:
    {label}
"#,
        app = images::app(),
        lb = images::lb(),
        socket = socket(),
    );
    let project = Project::new(scope, generation, &[], &text);
    project.run(&["up", "-d", "--scale", "appy=2"]);
    let mut replicas: Vec<_> =
        project.containers("appy").iter().map(|id| id[..12].to_owned()).collect();
    replicas.sort_unstable();
    assert_eq!(replicas.len(), 2);

    let address = project.published("proxy", 80);
    let state = || project.run(&["logs"]);
    let mut seen = Vec::new();
    wait::until("answers of both replicas", state, || {
        let answer = http::ask(address, "GET", &host, "/").ok()?;
        // A container's host name is its short id.
        let name = http::greeter(&answer.body)?.to_owned();
        if !seen.contains(&name) {
            seen.push(name);
            seen.sort_unstable();
        }
        (seen == replicas).then_some(())
    });
}
