//! Containers that come.

use std::time::Duration;

use super::{Scene, rounds, times};
use crate::{
    lb::Lb,
    load::{Load, Plan},
    scope::Scope,
    wait,
};

super::super::cases! { chaos:
    ten_new_replicas,
    a_replica_that_listens_late,
    unhealthy_and_healthy_again,
}

/// How long each listened before it was asked is measured by its own clock, with
/// requests for a host that it alone names: of the common one it would have to
/// wait for its turn.
fn ten_new_replicas(scope: &Scope) {
    let Scene { host, lb, load, .. } = Scene::new(scope, &["first"]);
    let mut times = Vec::new();
    for n in 0..10 {
        let own = format!("own{n}");
        let eager = Plan::new(lb.address, &scope.host(&own)).rate(500, 4).start();
        let new = scope.app(&format!("new{n}")).hosts(&["app", &own]).start();
        lb.ready(&host, n + 2);
        times.push(wait::until("a request", || eager.so_far().to_string(), || new.first_request()));
    }
    load.go_on(200);
    let report = load.stop("ten new replicas");
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let note = format!(
        "listens → is asked: median {:.1} ms, at most {:.1} ms (to be 10 and 25)",
        // Of ten, between the two in the middle.
        ms((times[4] + times[5]) / 2),
        ms(*times.last().unwrap())
    );
    report.tabulate("run 10 new replicas", note).none_failed();
    assert_eq!(report.by.len(), 11, "{report}");
}

fn a_replica_that_listens_late(scope: &Scope) {
    let Scene { host, lb, load, .. } = Scene::new(scope, &["a", "b"]);
    let late = scope.app("late").hosts(&["app"]).env("APP_START_DELAY", "1.5s").start();
    lb.state(&late.name, "connecting", "");
    lb.ready(&host, 3);
    load.until("its first answers", |report| report.from("late") > 50);

    let report = load.stop("listens 1.5 s after its start");
    report.tabulate("a replica listens 1.5 s after its start", "").none_failed();
    report.slow_at_most(report.sent / 100);
    // Nobody was sent there in vain and on to another.
    assert_eq!(lb.metrics().count("lb_retries_total", &[("service", &host)]), 0);
    assert_eq!(late.requests(), report.from("late"));
}

fn unhealthy_and_healthy_again(scope: &Scope) {
    let host = scope.host("app");
    scope.app("steady").hosts(&["app"]).start();
    let moody = scope.app("moody").hosts(&["app"]).checked().start();
    let lb = Lb::start();
    lb.ready(&host, 2);

    let load = Load::start(lb.address, &host);
    let rounds = rounds(1, 5);
    for _ in 0..rounds {
        moody.control("PUT", "/health/down");
        lb.state(&moody.name, "down", "unhealthy");
        let before = moody.requests();
        load.go_on(200);
        assert_eq!(moody.requests(), before, "unhealthy and asked");

        moody.control("PUT", "/health/up");
        lb.ready(&host, 2);
        load.go_on(200);
        assert!(moody.requests() > before);
    }
    let report = load.stop("turns unhealthy and healthy again");
    report.tabulate("one of two turns unhealthy, and healthy again", times(rounds)).none_failed();
}
