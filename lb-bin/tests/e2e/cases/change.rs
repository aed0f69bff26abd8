//! Containers that change under load.

use crate::{docker::Container, lb::Lb, load::Load, scope::Scope};

super::cases! {
    a_paused_replica_hurts_a_handful_of_requests_and_fails_none,
    a_replica_is_stopped_and_started_and_no_request_fails,
    a_renamed_replica_goes_on_under_its_new_name,
    requests_wait_while_the_only_replica_restarts,
    a_killed_replica_fails_no_get,
}

/// Replicas of one app behind a balancer, under load.
struct Scene {
    host: String,
    replicas: Vec<Container>,
    lb: Lb,
    load: Load,
}

impl Scene {
    fn new(scope: &Scope, names: &[&str]) -> Self {
        let host = scope.host("app");
        let replicas: Vec<_> =
            names.iter().map(|name| scope.app(name).hosts(&["app"]).start()).collect();
        let lb = Lb::start();
        lb.ready(&host, names.len());
        let load = Load::start(lb.address, &host);
        load.go_on(200);
        Self { host, replicas, lb, load }
    }
}

fn a_paused_replica_hurts_a_handful_of_requests_and_fails_none(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a", "b"]);
    replicas[0].docker(&["pause"]);
    lb.state(&replicas[0].name, "down", "paused");
    load.go_on(800);
    replicas[0].docker(&["unpause"]);
    lb.ready(&host, 2);
    let before = load.so_far().from("a");
    load.until("it to be used again", |report| report.from("a") > before + 50);
    let report = load.stop("pause and unpause one of two");
    report.none_failed();
    // Those that were with it, one for each connection at most, and what the
    // machine's own stalls add.
    report.slow_at_most(16 + report.sent / 100);
}

fn a_replica_is_stopped_and_started_and_no_request_fails(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a", "b"]);
    replicas[0].docker(&["stop"]);
    lb.ready(&host, 1);
    load.go_on(200);
    replicas[0].docker(&["start"]);
    lb.ready(&host, 2);
    load.go_on(200);
    let report = load.stop("stop and start one of two");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
}

fn a_renamed_replica_goes_on_under_its_new_name(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a"]);
    let name = format!("{}-renamed", scope.prefix());
    crate::docker::docker(["rename", &replicas[0].id, &name]);
    lb.state(&name, "ready", "");
    let now = lb.endpoints();
    assert_eq!(now.service(&host).unwrap().endpoints.len(), 1);
    assert_eq!(now.endpoint(&name).unwrap().id, replicas[0].id);
    load.go_on(200);
    let report = load.stop("rename the only replica");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
}

fn requests_wait_while_the_only_replica_restarts(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a"]);
    for _ in 0..3 {
        replicas[0].docker(&["restart"]);
        lb.ready(&host, 1);
        load.go_on(200);
    }
    load.stop("restart the only replica, three times").none_failed();
}

fn a_killed_replica_fails_no_get(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a", "b", "c"]);
    replicas[0].docker(&["kill", "--signal=KILL"]);
    lb.ready(&host, 2);
    load.go_on(200);
    let report = load.stop("kill -9 one of three");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
}
