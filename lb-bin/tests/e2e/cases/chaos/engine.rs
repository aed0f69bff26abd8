//! The engine restarts or hangs, and its socket is replaced.

use std::{path::Path, process::Command, time::Instant};

use super::{rounds, times};
use crate::{
    docker::{Container, docker},
    engine::Engine,
    images,
    lb::{Lb, View},
    load::{Load, Report},
    scope::{LABEL, Scope},
    wait,
};

super::super::cases! { chaos, own engine:
    the_engine_restarts_and_its_containers_run_on,
    the_engine_restarts_and_its_containers_with_it,
    the_engine_hangs,
    the_socket_is_replaced_under_a_balancer_in_a_container,
}

fn the_engine_restarts_and_its_containers_run_on(scope: &Scope) {
    let mut engine = Engine::new();
    let (host, lb) = balanced(scope);
    let load = Load::start(lb.address, &host);
    load.go_on(200);
    let rounds = rounds(1, 3);
    for round in 0..rounds {
        engine.stop();
        connected(&lb, false);
        load.go_on(400);
        assert_eq!(lb.endpoints().in_state(&host, "ready"), 2 + round);
        engine.start();
        connected(&lb, true);
        found(scope, &lb, &load, &format!("new{round}"), 3 + round);
    }
    let report = load.stop("the engine restarts, live-restore");
    report.tabulate("the engine restarts, live-restore on", times(rounds)).none_failed();
    report.slow_at_most(report.sent / 100);
    let resyncs = lb.metrics().count("lb_discovery_resyncs_total", &[("source", "docker")]);
    assert!(resyncs >= 2, "{resyncs} resyncs");
}

/// Requests wait until the containers are back, as when the only replica restarts.
fn the_engine_restarts_and_its_containers_with_it(scope: &Scope) {
    let mut engine = Engine::new();
    engine.stop();
    engine.live_restore(false);
    engine.start();
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).option("--restart=always").start();
    }
    // An engine takes as long as it takes.
    let lb = Lb::with(|lb: &mut Command| {
        lb.env("LB_WAIT", "15s");
    });
    lb.ready(&host, 2);
    let load = Load::start(lb.address, &host);
    load.go_on(200);

    engine.stop();
    connected(&lb, false);
    engine.start();
    connected(&lb, true);
    lb.ready(&host, 2);
    load.go_on(400);
    let report = load.stop("the engine restarts, and its containers with it");
    let held = "nobody is there meanwhile: requests are held";
    report.tabulate("the engine restarts, live-restore off", held).none_failed();
}

fn the_engine_hangs(scope: &Scope) {
    let engine = Engine::new();
    let (host, lb) = balanced(scope);
    let load = Load::start(lb.address, &host);
    load.go_on(200);
    engine.hang();
    connected(&lb, false);
    // Five seconds and what it took to notice.
    load.go_on(2000);
    assert_eq!(lb.endpoints().in_state(&host, "ready"), 2);
    engine.go_on();
    connected(&lb, true);
    found(scope, &lb, &load, "new", 3);
    let report = load.stop("the engine hangs for 5 s");
    report.tabulate("the engine hangs for 5 s (SIGSTOP)", "").none_failed();
    report.slow_at_most(report.sent / 100);
}

/// With the folder mounted it finds the new socket. With the file mounted it can't:
/// it goes on with what it knows, and says so.
fn the_socket_is_replaced_under_a_balancer_in_a_container(scope: &Scope) {
    let mut engine = Engine::new();
    let api = engine.api();
    let of_folder = contained(scope, "folder", &api, &api.join("docker.sock"));
    let of_file = contained(scope, "file", &api.join("docker.sock"), &api.join("docker.sock"));
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).start();
    }
    let loads = [&of_folder, &of_file].map(|lb| {
        lb.ready(&host, 2);
        Load::start(lb.address, &host)
    });
    loads.iter().for_each(|load| load.go_on(100));
    engine.stop();
    engine.start();
    connected(&of_folder, true);
    found(scope, &of_folder, &loads[0], "c", 3);
    connected(&of_file, false);
    assert_eq!(of_file.endpoints().in_state(&host, "ready"), 2);
    let told = of_file.metrics().count("lb_discovery_connected", &[("source", "docker")]);
    assert_eq!(told, 0);
    loads[1].go_on(200);

    let [folder, file] = loads;
    let titles =
        ["the socket is replaced, its folder mounted", "the socket is replaced, the file mounted"];
    let notes = ["", "goes on with the set it knows, and /readyz and the metrics tell"];
    for ((load, title), note) in [folder, file].into_iter().zip(titles).zip(notes) {
        let report: Report = load.stop(title);
        report.tabulate(title, note).none_failed();
    }
}

/// Two replicas behind a balancer that knows them.
fn balanced(scope: &Scope) -> (String, Lb) {
    let host = scope.host("app");
    for name in ["a", "b"] {
        scope.app(name).hosts(&["app"]).start();
    }
    let lb = Lb::start();
    lb.ready(&host, 2);
    (host, lb)
}

/// A new replica is found and used.
#[track_caller]
fn found(scope: &Scope, lb: &View, load: &Load, name: &str, all: usize) {
    let since = Instant::now();
    scope.app(name).hosts(&["app"]).start();
    lb.ready(&scope.host("app"), all);
    load.until("answers of the new one", |report| report.from(name) > 50);
    println!("  found and used at most {:.0?} after the engine was told", since.elapsed());
}

/// A balancer as a container, with this of the host mounted to reach the engine.
fn contained(scope: &Scope, name: &str, mounted: &Path, socket: &Path) -> View {
    let mounted = mounted.display();
    let id = docker([
        "run",
        "--detach",
        &format!("--name={}-lb-{name}", scope.prefix()),
        &format!("--label={LABEL}={}", scope.prefix()),
        &format!("--volume={mounted}:{mounted}:ro"),
        &format!("--env=DOCKER_HOST=unix://{}", socket.display()),
        "--env=LB_ADMIN=0.0.0.0:9180",
        "--env=LB_ACCESS_LOG=off",
        "--env=TRUST_DOWNSTREAM_PROXY=false",
        "--user=0",
        images::lb(),
    ]);
    let container = Container { id, name: name.to_owned() };
    let ip = container.ip();
    let view = View { address: (ip, 80).into(), admin: (ip, 9180).into() };
    let state = || container.docker(&["logs"]);
    wait::until("the balancer", state, || {
        crate::http::ask(view.admin, "GET", "lb", "/readyz").ok()
    });
    view
}

/// Waits until `/readyz` says so. It is ready either way.
#[track_caller]
fn connected(lb: &View, wanted: bool) {
    lb.until(&format!("connected: {wanted}"), |_| {
        let ready = lb.ask_admin("/readyz");
        assert_eq!(ready.status, 200, "{ready:?}");
        let json: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
        let docker = &json["docker"];
        // It says what is wrong as long as anything is.
        (docker["connected"] == wanted && docker["error"].is_string() != wanted).then_some(())
    });
}
