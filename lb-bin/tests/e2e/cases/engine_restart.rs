//! The engine restarts and keeps its containers running.

use std::time::Instant;

use crate::{
    engine::{self, Engine},
    lb::{Lb, View},
    load::Load,
    scope::Scope,
};

super::cases! { while_the_engine_restarts_the_last_known_set_is_served if engine::needs }

fn while_the_engine_restarts_the_last_known_set_is_served(_: &Scope) {
    engine::go_inside();
}

/// The same case, where the engine is its own.
pub(crate) fn inside() {
    let mut engine = Engine::new();
    let scope = Scope::new(0);
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).start();
    }
    let lb = Lb::start();
    lb.ready(&host, 2);
    let load = Load::start(lb.address, &host);
    load.go_on(200);

    engine.stop();
    connected(&lb, false);
    load.go_on(400);
    assert_eq!(lb.endpoints().in_state(&host, "ready"), 2);

    engine.start();
    let answers = Instant::now();
    connected(&lb, true);
    println!("  connected at most {:.0?} after the engine answers", answers.elapsed());
    scope.app("c").hosts(&["app"]).start();
    lb.ready(&host, 3);
    load.until("answers of the new one", |report| report.from("c") > 50);

    let report = load.stop("the engine restarts");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
    let resyncs = lb.metrics().count("lb_discovery_resyncs_total", &[("source", "docker")]);
    assert!(resyncs >= 2, "{resyncs} resyncs");
}

/// Waits until `/readyz` says so. It is ready either way.
fn connected(lb: &View, wanted: bool) {
    lb.until(&format!("connected: {wanted}"), |_| {
        let ready = lb.ask_admin("/readyz");
        assert_eq!(ready.status, 200, "{ready:?}");
        let json: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
        (json["docker"]["connected"] == wanted).then_some(())
    });
}
