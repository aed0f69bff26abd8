//! Containers that leave, for good or for a moment.

use std::{thread, time::Duration};

use super::{OnTerm, Scene, rounds, times};
use crate::{
    docker,
    lb::Lb,
    load::{Load, Plan},
    scope::Scope,
};

super::super::cases! { chaos:
    scaling,
    pausing_one_of_two,
    stopping_and_starting_one_of_two,
    restarting_the_only_replica,
    renaming_the_only_replica,
}

fn scaling(scope: &Scope) {
    for on_term in OnTerm::ALL {
        let host = scope.host("app");
        let start = |name: &str| on_term.app(scope, name).hosts(&["app"]).start();
        let mut running = vec![start("0"), start("1")];
        let lb = Lb::start();
        lb.ready(&host, 2);
        // Some are with those that are told to leave.
        let load = Plan::new(lb.address, &host).query("latency=20ms").start();
        load.go_on(50);
        let rounds = rounds(1, 10);
        for round in 0..rounds {
            while running.len() < 6 {
                running.push(start(&format!("{round}-{}", running.len())));
            }
            lb.ready(&host, 6);
            load.go_on(100);
            // All at once, as Compose does it.
            thread::scope(|threads| {
                for leaving in running.drain(1..) {
                    threads.spawn(move || {
                        leaving.docker(&["stop"]);
                        leaving.remove();
                    });
                }
            });
            lb.ready(&host, 1);
            load.go_on(100);
        }
        let title = format!("scale 2 → 6 → 1, {}", on_term.told());
        let report = load.stop(&title);
        report.tabulate(&title, times(rounds)).none_failed();
        // Each of them, the new ones too.
        assert_eq!(report.by.len(), 1 + 5 * rounds, "{report}");
        running.into_iter().for_each(docker::Container::remove);
    }
}

fn pausing_one_of_two(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a", "b"]);
    replicas[0].docker(&["pause"]);
    lb.state(&replicas[0].name, "down", "paused");
    // Three seconds.
    load.go_on(1200);
    replicas[0].docker(&["unpause"]);
    lb.ready(&host, 2);
    let before = load.so_far().from("a");
    load.until("it to be used again", |report| report.from("a") > before + 50);
    let report = load.stop("pause and unpause one of two");
    report.tabulate("pause one of two for 3 s, unpause it", "").none_failed();
    // Those that were with it, one for each connection at most, and what the
    // machine's own stalls add.
    report.slow_at_most(16 + 5);
}

fn stopping_and_starting_one_of_two(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a", "b"]);
    let rounds = rounds(1, 5);
    for _ in 0..rounds {
        replicas[0].docker(&["stop"]);
        lb.ready(&host, 1);
        load.go_on(200);
        replicas[0].docker(&["start"]);
        lb.ready(&host, 2);
        load.go_on(200);
    }
    let report = load.stop("stop and start one of two");
    report.tabulate("stop and start one of two", times(rounds)).none_failed();
    report.slow_at_most(report.sent / 100);
}

fn restarting_the_only_replica(scope: &Scope) {
    for on_term in OnTerm::ALL {
        let host = scope.host("app");
        let replica = on_term.app(scope, "only").hosts(&["app"]).start();
        let lb = Lb::start();
        lb.ready(&host, 1);
        let load = Load::start(lb.address, &host);
        load.go_on(50);
        let rounds = rounds(2, 10);
        for _ in 0..rounds {
            replica.docker(&["restart"]);
            lb.ready(&host, 1);
            load.go_on(200);
        }
        let title = format!("restart the only replica, {}", on_term.told());
        let report = load.stop(&title);
        report.tabulate(&title, times(rounds)).none_failed();
        // Held for as long as the engine takes, its patience of a second included.
        assert!(report.slowest() < Duration::from_secs(3), "{report}");
        replica.remove();
    }
}

fn renaming_the_only_replica(scope: &Scope) {
    let Scene { host, replicas, lb, load } = Scene::new(scope, &["a"]);
    let name = format!("{}-renamed", scope.prefix());
    docker::docker(["rename", &replicas[0].id, &name]);
    lb.state(&name, "ready", "");
    let now = lb.endpoints();
    assert_eq!(now.service(&host).unwrap().endpoints.len(), 1);
    assert_eq!(now.endpoint(&name).unwrap().id, replicas[0].id);
    load.go_on(200);
    let report = load.stop("rename the only replica");
    report.none_failed();
    report.slow_at_most(report.sent / 100);
}
