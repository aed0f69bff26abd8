//! Which containers are found, and for which hosts.

use std::{collections::BTreeMap, process::Command, thread, time::Instant};

use crate::{
    docker::{Container, attempt, docker},
    lb::Lb,
    load::Load,
    scope::{LABEL, Scope},
};

super::cases! {
    finds_containers_that_run_already_and_ones_started_later,
    a_container_that_names_no_host_is_ignored_and_says_why,
    labels_name_host_and_port,
    the_port_is_the_only_exposed_one_else_80,
    two_hosts_on_one_balancer,
    a_container_may_serve_several_hosts,
    unknown_hosts_get_the_default_host_or_503,
    round_robin_is_within_one_of_even,
    a_change_costs_one_inspection_or_two_however_many_containers,
}

fn finds_containers_that_run_already_and_ones_started_later(scope: &Scope) {
    let host = scope.host("shop");
    scope.app("early").hosts(&["shop"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    assert_eq!(lb.served_from(&host), "early");

    let late = scope.app("late").hosts(&["shop"]).start();
    lb.ready(&host, 2);
    let mut both = [lb.served_from(&host), lb.served_from(&host)];
    both.sort_unstable();
    assert_eq!(both, ["early", "late"]);

    late.remove();
    lb.ready(&host, 1);
    assert_eq!(lb.served_from(&host), "early");
}

fn a_container_that_names_no_host_is_ignored_and_says_why(scope: &Scope) {
    let plain = scope.app("plain").start();
    let lb = Lb::start();
    let said = lb.until("the container", |now| {
        let found = now.unrouted(&plain.name)?;
        assert_eq!((&found.id, found.state.as_str()), (&plain.id, "ignored"));
        Some(found.reasons.clone())
    });
    assert_eq!(said, ["names no host: set VIRTUAL_HOST or the label lb.host"]);
}

fn labels_name_host_and_port(scope: &Scope) {
    let host = scope.host("labelled");
    scope
        .app("app")
        .label("lb.host", &host)
        .label("lb.port", "9000")
        .env("APP_LISTEN", "0.0.0.0:9000")
        // The label counts.
        .env("VIRTUAL_PORT", "9999")
        .start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    assert_eq!(lb.served_from(&host), "app");
}

fn the_port_is_the_only_exposed_one_else_80(scope: &Scope) {
    // The image exposes 8484.
    scope.app("one").hosts(&["one"]).start();
    scope
        .app("two")
        .hosts(&["two"])
        .option("--expose=9000")
        .env("APP_LISTEN", "0.0.0.0:80")
        .start();
    let lb = Lb::start();
    for (name, port) in [("one", 8484), ("two", 80)] {
        let host = scope.host(name);
        lb.ready(&host, 1);
        assert_eq!(lb.served_from(&host), name);
        let now = lb.endpoints();
        let address = now.service(&host).unwrap().endpoints[0].address.unwrap();
        assert_eq!(address.port(), port);
    }
}

fn two_hosts_on_one_balancer(scope: &Scope) {
    for name in ["a", "b"] {
        scope.app(name).hosts(&[name]).start();
    }
    let lb = Lb::start();
    for name in ["a", "b"] {
        lb.ready(&scope.host(name), 1);
    }
    for _ in 0..10 {
        assert_eq!(lb.served_from(&scope.host("a")), "a");
        assert_eq!(lb.served_from(&scope.host("b").to_uppercase()), "b");
    }
}

fn a_container_may_serve_several_hosts(scope: &Scope) {
    scope.app("both").hosts(&["a", "b"]).start();
    let lb = Lb::start();
    for name in ["a", "b"] {
        lb.ready(&scope.host(name), 1);
        assert_eq!(lb.served_from(&scope.host(name)), "both");
    }
}

fn unknown_hosts_get_the_default_host_or_503(scope: &Scope) {
    let host = scope.host("known");
    scope.app("app").hosts(&["known"]).start();

    let strict = Lb::start();
    strict.ready(&host, 1);
    let refused = strict.get(&scope.host("unknown"), "/");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("nothing here answers for this host"), "{refused:?}");
    assert_eq!(strict.served_from(&host), "app");

    let lax = Lb::with(|lb| {
        lb.env("DEFAULT_HOST", &host);
    });
    lax.ready(&host, 1);
    assert_eq!(lax.served_from(&scope.host("unknown")), "app");
    assert_eq!(lax.served_from("localhost"), "app");
}

fn round_robin_is_within_one_of_even(scope: &Scope) {
    let host = scope.host("even");
    for name in ["a", "b", "c"] {
        scope.app(name).hosts(&["even"]).start();
    }
    // However many workers there are, they take turns from one rotation.
    let lb = Lb::start();
    lb.ready(&host, 3);
    let mut by = BTreeMap::<_, u32>::new();
    for _ in 0..1_000 {
        *by.entry(lb.served_from(&host)).or_default() += 1;
    }
    println!("  1,000 requests: {by:?}");
    assert_eq!(by.len(), 3);
    assert!(by.values().all(|count| (333..=334).contains(count)), "{by:?}");

    // Over many connections, too.
    let load = Load::start(lb.address, &host);
    load.go_on(1_000);
    let report = load.stop("round robin");
    report.none_failed();
    let (least, most) = (report.by.values().min(), report.by.values().max());
    assert!(most.unwrap() - least.unwrap() <= 1, "{report}");
}

/// How many containers there are shows in nothing but the first look at them.
fn a_change_costs_one_inspection_or_two_however_many_containers(scope: &Scope) {
    let number = std::env::var("LB_E2E_CONTAINERS").map_or(20, |n| n.parse().unwrap());
    let started = Instant::now();
    let names: Vec<_> = (0..number).collect();
    thread::scope(|threads| {
        for some in names.chunks(names.len().div_ceil(4)) {
            threads.spawn(move || {
                for n in some {
                    scope.app(&n.to_string()).hosts(&["many"]).start();
                }
            });
        }
    });
    println!("  {number} containers started in {:.1?}", started.elapsed());
    let host = scope.host("many");

    let lb = undisturbed(scope, "the first look", || {
        let running = docker(["ps", "--quiet"]).lines().count() as u64;
        let started = Instant::now();
        let lb = Lb::start();
        lb.ready(&host, number);
        println!("  {number} containers routed {:.0?} after the start", started.elapsed());
        let docker = lb.endpoints().docker;
        ((docker.inspects == running).then_some(lb), format!("{docker:?}, {running} run"))
    });

    let mut extra: Option<Container> = None;
    undisturbed(scope, "one container more", || {
        if let Some(before) = extra.take() {
            before.remove();
            lb.ready(&host, number);
        }
        let before = lb.endpoints().docker.inspects;
        let started = Instant::now();
        extra = Some(scope.app("extra").hosts(&["many"]).start());
        lb.ready(&host, number + 1);
        let cost = lb.endpoints().docker.inspects - before;
        println!("  one more: {cost} inspections, routed {:.0?} later", started.elapsed());
        ((cost <= 2).then_some(()), format!("{cost} inspections"))
    });
}

/// Counts again where others were at work on the same engine in between.
fn undisturbed<T>(scope: &Scope, what: &str, mut count: impl FnMut() -> (Option<T>, String)) -> T {
    for _ in 0..10 {
        let since = now();
        let (counted, found) = count();
        if let Some(counted) = counted {
            return counted;
        }
        let others = events_of_others(scope, &since);
        assert!(!others.is_empty(), "{what}: {found}");
        println!("  {what}: counted again, others were at work: {}", others[0]);
    }
    panic!("{what}: others are at work on this engine all the time");
}

fn events_of_others(scope: &Scope, since: &str) -> Vec<String> {
    let format = format!("{{{{index .Actor.Attributes \"{LABEL}\"}}}} {{{{.Action}}}}");
    let events = attempt(["events", "--since", since, "--until", &now(), "--format", &format]);
    let events = events.unwrap();
    let others = events.lines().filter(|event| !event.starts_with(scope.prefix()));
    others.map(str::to_owned).collect()
}

/// The engine's clock and ours are the same where the engine is on this machine.
fn now() -> String {
    let mut date = Command::new("date");
    date.arg("+%s.%N");
    crate::docker::output(date).unwrap()
}
