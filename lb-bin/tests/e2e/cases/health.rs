//! Containers that are not always fit to answer.

use crate::{lb::Lb, load::Load, scope::Scope};

super::cases! {
    an_unhealthy_container_leaves_and_returns,
    a_container_waits_for_its_first_health_check_unless_told_not_to,
    a_replica_that_listens_late_costs_nobody_anything,
}

fn an_unhealthy_container_leaves_and_returns(scope: &Scope) {
    let host = scope.host("app");
    scope.app("steady").hosts(&["app"]).start();
    let moody = scope.app("moody").hosts(&["app"]).checked().start();
    let lb = Lb::start();
    lb.ready(&host, 2);

    let load = Load::start(lb.address, &host);
    moody.control("PUT", "/health/down");
    lb.state(&moody.name, "down", "unhealthy");
    let before = moody.requests();
    load.go_on(200);
    assert_eq!(moody.requests(), before, "unhealthy and asked");

    moody.control("PUT", "/health/up");
    lb.ready(&host, 2);
    load.go_on(200);
    assert!(moody.requests() > before);
    load.stop("turns unhealthy and healthy again").none_failed();
}

fn a_container_waits_for_its_first_health_check_unless_told_not_to(scope: &Scope) {
    let lb = Lb::start();
    let unwell = |name| scope.app(name).hosts(&[name]).checked().env("APP_UNHEALTHY", "true");
    let patient = unwell("patient").start();
    unwell("eager").label("lb.ready", "accept").start();

    lb.ready(&scope.host("eager"), 1);
    assert_eq!(lb.served_from(&scope.host("eager")), "eager");
    lb.state(&patient.name, "down", "health check hasn't passed yet");

    patient.control("PUT", "/health/up");
    lb.ready(&scope.host("patient"), 1);
    assert_eq!(lb.served_from(&scope.host("patient")), "patient");
}

fn a_replica_that_listens_late_costs_nobody_anything(scope: &Scope) {
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).start();
    }
    let lb = Lb::start();
    lb.ready(&host, 2);
    let load = Load::start(lb.address, &host);

    let late = scope.app("late").hosts(&["app"]).env("APP_START_DELAY", "1.5s").start();
    lb.state(&late.name, "connecting", "");
    load.go_on(100);
    assert_eq!(load.so_far().from("late"), 0);
    lb.ready(&host, 3);
    load.until("its first answers", |report| report.from("late") > 50);

    let report = load.stop("listens 1.5 s after its start");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
    // Nobody was sent there in vain and on to another.
    assert_eq!(lb.metrics().count("lb_retries_total", &[("service", &host)]), 0);
    assert_eq!(late.requests(), report.from("late"));
}
