//! Containers that die, hang or err.

use super::{Scene, rounds, times};
use crate::{docker::Container, load::Plan, scope::Scope};

super::super::cases! { chaos:
    killing_one_of_three,
    killing_one_of_three_with_bodies_in_flight,
    a_body_that_breaks_off_is_an_error,
    one_of_three_hangs,
    one_of_three_is_stopped_by_a_signal,
    one_hangs_after_another_was_paused,
    one_of_two_hangs_as_soon_as_it_is_there,
    one_of_three_errs,
}

const THREE: [&str; 3] = ["a", "b", "c"];

fn killing_one_of_three(scope: &Scope) {
    // Some are with it when it dies.
    let rate = |plan: Plan| plan.query("latency=20ms");
    let Scene { host, replicas, lb, load } = Scene::with(scope, &THREE, rate);
    let rounds = rounds(1, 10);
    for _ in 0..rounds {
        replicas[0].docker(&["kill", "--signal=KILL"]);
        lb.ready(&host, 2);
        load.go_on(200);
        replicas[0].docker(&["start"]);
        lb.ready(&host, 3);
        load.go_on(50);
    }
    let report = load.stop("kill -9 one of three");
    report.tabulate("kill -9 one of three", times(rounds)).none_failed();
    report.slow_at_most(report.sent / 100);
}

/// What has begun can't be saved, and must not pass for whole.
fn killing_one_of_three_with_bodies_in_flight(scope: &Scope) {
    for (how, query) in [("of known length", ""), ("in chunks", "&chunked")] {
        // 320 KiB in 150 ms: about fifteen are under way at any time.
        let query = format!("size=327680&pace=15ms{query}");
        let rate = |plan: Plan| plan.query(&query).rate(100, 24);
        let Scene { host, replicas, lb, load } = Scene::with(scope, &THREE, rate);
        let rounds = rounds(1, 5);
        for _ in 0..rounds {
            replicas[0].docker(&["kill", "--signal=KILL"]);
            lb.ready(&host, 2);
            load.go_on(50);
            replicas[0].docker(&["start"]);
            lb.ready(&host, 3);
            load.go_on(50);
        }
        let title = format!("kill -9 one of three, bodies {how} in flight");
        let report = load.stop(&title);
        let truncated = report.truncated();
        let load = format!("100 a second over 24 connections, kills: {rounds}");
        let note = format!("{load}; {truncated} bodies broke off, all told as errors");
        report.tabulate(&title, note);
        assert!(truncated > 0, "none was in flight: {report}");
        assert_eq!(report.failed(), truncated, "{report}");
        assert!(truncated <= 12 * rounds as u64, "{report}");
        replicas.into_iter().for_each(Container::remove);
    }
}

fn a_body_that_breaks_off_is_an_error(scope: &Scope) {
    for query in ["size=100000&truncate", "size=100000&truncate&chunked"] {
        let broken = |plan: Plan| plan.query(query).rate(50, 4);
        let scene = Scene::with(scope, &["a"], broken);
        let report = scene.load.stop(&format!("bodies that break off, {query}"));
        assert_eq!((report.ok, report.truncated()), (0, report.sent), "{report}");
        scene.replicas.into_iter().for_each(Container::remove);
    }
}

fn one_of_three_hangs(scope: &Scope) {
    hang(
        scope,
        "one of three hangs",
        |replica| drop(replica.control("PUT", "/hang")),
        |replica| drop(replica.control("PUT", "/resume")),
    );
}

fn one_of_three_is_stopped_by_a_signal(scope: &Scope) {
    hang(
        scope,
        "one of three gets SIGSTOP",
        |replica| drop(replica.docker(&["kill", "--signal=STOP"])),
        |replica| drop(replica.docker(&["kill", "--signal=CONT"])),
    );
}

/// It accepts connections all the while: only its silence tells.
fn hang(scope: &Scope, title: &str, hang: fn(&Container), resume: fn(&Container)) {
    let Scene { replicas, lb, load, .. } = Scene::new(scope, &THREE);
    let before = load.so_far();
    hang(&replicas[0]);
    load.go_on(rounds(1200, 4000) as u64);
    let used = load.so_far().from("a");
    resume(&replicas[0]);
    load.until("it to be used again", |report| report.from("a") > used + 50);
    let report = load.stop(title);
    let slow = report.slow - before.slow;
    report.tabulate(title, format!("{slow} slow until it was left alone")).none_failed();
    // As many as were with it when it went silent, what was sent to it to see
    // whether it has come back, and what the machine's own stalls add.
    assert!(slow <= 16 + 5, "{slow} slow: {report}\n{}", lb.stderr());
    // Nobody has told it to stop: a signal may mean anything.
    let (said, name) = (lb.stderr(), &replicas[0].name);
    let stops = |line: &str| line.contains("it is about to stop") && line.contains(name);
    assert!(!said.lines().any(stops), "{said}");
}

/// The slow answers of the one that was paused say nothing of how long answers
/// take: the next that hangs is found as soon as it would have been without them.
fn one_hangs_after_another_was_paused(scope: &Scope) {
    let slow = |plan: Plan| plan.query("latency=20ms");
    let Scene { replicas, lb, load, host } = Scene::with(scope, &THREE, slow);
    replicas[1].docker(&["pause"]);
    load.go_on(1200);
    replicas[1].docker(&["unpause"]);
    lb.ready(&host, 3);
    load.go_on(400);
    let before = load.so_far();
    replicas[0].control("PUT", "/hang");
    load.go_on(800);
    replicas[0].control("PUT", "/resume");
    load.go_on(50);
    let report = load.stop("one of three hangs, after another was paused");
    let slow = report.slow - before.slow;
    let note = format!("{slow} slow once it hung");
    report.tabulate("one of three hangs, after another was paused", note).none_failed();
    assert!(slow <= 16 + 5, "{slow} slow: {report}\n{}", lb.stderr());
}

/// Nothing is known of it yet, and in a moment every connection waits for it: then
/// it takes a second to find out that the other one answers.
fn one_of_two_hangs_as_soon_as_it_is_there(scope: &Scope) {
    let Scene { replicas, lb, load, host } = Scene::new(scope, &THREE[..2]);
    let rounds = rounds(3, 20);
    for _ in 0..rounds {
        replicas[0].docker(&["restart"]);
        lb.ready(&host, 2);
        replicas[0].control("PUT", "/hang");
        load.go_on(800);
        replicas[0].control("PUT", "/resume");
        load.go_on(50);
    }
    let report = load.stop("one of two hangs as soon as it is there");
    report.tabulate("one of two hangs as soon as it is there", times(rounds)).none_failed();
    let slow = report.slow;
    // What falls due within that second, with twice as much to spare.
    assert!(slow <= 1200 * rounds as u64, "{slow} slow: {report}\n{}", lb.stderr());
}

/// An answer of 500 is an answer: it is passed on, and counted against who gave it.
fn one_of_three_errs(scope: &Scope) {
    let Scene { replicas, lb, load, .. } = Scene::new(scope, &THREE);
    replicas[0].control("PUT", "/fail");
    load.go_on(800);
    let during = load.so_far();
    load.go_on(400);
    let late = load.so_far().failed() - during.failed();
    replicas[0].control("PUT", "/resume");
    let used = load.so_far().from("a");
    load.until("it to be used again", |report| report.from("a") > used + 50);
    let report = load.stop("one of three answers 500");
    report.tabulate("one of three answers 500", format!("{late} of the last 400 before its end"));
    assert!(report.failures.keys().all(|why| why.starts_with("500: ")), "{report}");
    // A third of them, if nobody noticed.
    assert!(during.failed() <= 40, "{during}\n{}", lb.stderr());
    assert!(late <= 10, "{late}: {report}");
}
