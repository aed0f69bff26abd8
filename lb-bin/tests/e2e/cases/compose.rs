//! The compose file of the exercise.

use crate::{
    compose::{Generation, Project, label, socket},
    http, images,
    scope::Scope,
    wait,
};

super::cases! {
    the_compose_file_of_the_exercise_works_with_another_image if Generation::any,
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
