//! Containers with a health check.

use crate::{lb::Lb, scope::Scope};

super::cases! {
    a_container_waits_for_its_first_health_check_unless_told_not_to,
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
