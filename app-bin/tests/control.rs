//! The control port and `app-bin check`.

// The helpers below are tests, too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;

use app_bin::{METRICS, Metric, MetricKind};
use support::{App, output};

/// The one line that a failed command leaves on stderr.
fn complaint(output: &std::process::Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

#[test]
fn health_flips_and_check_follows() {
    let app = App::start(&[]);
    assert_eq!(app.control("GET", "/healthz").status(), 200);
    let check = app.check();
    assert_eq!((check.status.code(), check.stderr.len()), (Some(0), 0));

    assert_eq!(app.control("PUT", "/health/down").body, "down\n");
    assert_eq!(app.control("GET", "/healthz").status(), 503);
    let check = app.check();
    assert_eq!(check.status.code(), Some(1));
    let url = format!("http://{}/healthz", app.admin);
    assert_eq!(complaint(&check), format!("app-bin: unhealthy: {url} answered 503"));

    assert_eq!(app.control("POST", "/health/up").body, "up\n");
    assert_eq!(app.check().status.code(), Some(0));
}

#[test]
fn hangs_and_fails_until_told_to_resume() {
    let app = App::start(&[]);
    assert_eq!(app.control("PUT", "/hang").body, "hanging\n");
    let mut client = support::Client::connect(app.address);
    client.send(&support::head("GET", "/"));
    app.wait_in_flight(1);
    assert_eq!(app.control("PUT", "/resume").body, "well\n");
    assert_eq!(client.answer(false).status(), 200);

    assert_eq!(app.control("POST", "/fail").body, "failing\n");
    assert_eq!(app.get("/").status(), 500);
    // Who asks for the echo is no exception.
    let mut client = support::Client::connect(app.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.answer(false).status(), 500);
    app.control("PUT", "/resume");
    assert_eq!(app.get("/").status(), 200);
    assert_eq!(app.control("GET", "/hang").status(), 405);
}

#[test]
fn a_signal_flips_the_health() {
    let app = App::start(&["--unhealthy"]);
    assert_eq!(app.control("GET", "/healthz").status(), 503);
    app.signal("USR1");
    app.wait_line("SIGUSR1: health is up");
    assert_eq!(app.control("GET", "/healthz").status(), 200);
    app.signal("USR1");
    app.wait_line("SIGUSR1: health is down");
    assert_eq!(app.control("GET", "/healthz").status(), 503);
}

#[test]
fn check_reads_the_environment() {
    let app = App::start(&[]);
    let check = support::binary().arg("check").env("APP_ADMIN", app.admin.to_string()).output();
    assert_eq!(check.unwrap().status.code(), Some(0));

    let check = support::binary().arg("check").env("APP_ADMIN", "off").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(complaint(&check).contains("the control address is off"));
}

#[test]
fn check_asks_any_url() {
    let app = App::start(&[]);
    let url = format!("http://{}/?status=200", app.address);
    assert_eq!(output(&["check", "--url", &url]).status.code(), Some(0));
    let url = format!("http://{}/?status=404", app.address);
    assert_eq!(output(&["check", "--url", &url]).status.code(), Some(1));
}

#[test]
fn check_does_not_wait_for_ever() {
    let app = App::start(&[]);
    let url = format!("http://{}/?hang", app.address);
    let check = output(&["check", "--url", &url]);
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(complaint(&check), format!("app-bin: no answer from {url} in 2 s"));
}

#[test]
fn check_tells_when_nobody_listens() {
    // Bound and closed: free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let check = output(&["check", "--admin", &free.to_string()]);
    assert_eq!(check.status.code(), Some(1));
    let complaint = complaint(&check);
    assert!(
        complaint.starts_with(&format!("app-bin: cannot ask http://{free}/healthz: ")),
        "{complaint}"
    );
}

#[test]
fn counts_requests() {
    let app = App::start(&[]);
    for _ in 0..3 {
        app.get("/");
    }
    let answer = app.control("GET", "/requests");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let counts = "{\"requests\":3,\"in_flight\":0,\"first_request_ms\":";
    assert!(answer.body.starts_with(counts), "{}", answer.body);
}

#[test]
fn metrics_tell_what_happened() {
    let app = App::start(&[]);
    for target in ["/", "/", "/?status=503", "/?size=x"] {
        app.get(target);
    }
    let answer = app.control("GET", "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "app_requests_total{code=\"200\"} 2",
        "app_requests_total{code=\"503\"} 1",
        "app_requests_total{code=\"400\"} 1",
        "app_requests_total{code=\"500\"} 0",
        "app_request_duration_seconds_bucket{le=\"10\"} 4",
        "app_request_duration_seconds_count 4",
        "app_in_flight_requests 0",
        "# TYPE app_request_duration_seconds histogram",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "no {line} in:\n{}", answer.body);
    }
    assert!(answer.body.contains("app_build_info{version=\""), "{}", answer.body);
}

#[test]
fn all_that_is_shown_is_listed_and_the_other_way_round() {
    let app = App::start(&[]);
    app.get("/");
    let text = app.control("GET", "/metrics").body;
    let shown: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let kind = |kind| match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    assert_eq!(shown, METRICS.iter().map(|metric| (metric.name, kind(metric.kind))).collect());
    for Metric { name, help, .. } in METRICS {
        assert!(text.contains(&format!("# HELP {name} {help}\n")), "no help of {name}: {text}");
    }
}

#[test]
fn metrics_tell_the_health() {
    let app = App::start(&[]);
    let healthy =
        |is| app.control("GET", "/metrics").body.contains(&format!("\napp_healthy {is}\n"));
    assert!(healthy(1));
    app.control("PUT", "/health/down");
    assert!(healthy(0));
}

#[test]
fn can_be_off() {
    let app = App::launch(&["--admin=off"]);
    let line = app.wait_line("listening on ");
    assert!(line.ends_with(", metrics off"), "{line}");
}
