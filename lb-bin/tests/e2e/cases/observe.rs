//! What operators see.

use std::{
    collections::BTreeSet,
    fs,
    io::{Seek, Write},
    process::Command,
};

use crate::{
    Lack, lb::Lb, load::Load, prometheus::Metrics, reference::Reference, scope::Scope, wait,
};

super::cases! {
    metrics_parse_and_add_up_to_what_was_sent,
    the_series_of_a_removed_container_go_with_it,
    what_is_known_of_containers_is_what_the_reference_says,
    promtool_finds_nothing_wrong_with_the_metrics if promtool,
    the_admin_listener_answers_what_it_lists,
    check_exits_with_0_once_ready_and_1_before,
    the_access_log_is_ncsa_combined_with_host_and_container,
    the_access_log_file_is_opened_anew_on_sigusr1,
}

fn metrics_parse_and_add_up_to_what_was_sent(scope: &Scope) {
    let host = scope.host("app");
    let apps = ["a", "b"].map(|name| scope.app(name).hosts(&["app"]).start());
    let lb = Lb::start();
    lb.ready(&host, 2);
    let load = Load::start(lb.address, &host);
    load.go_on(400);
    let report = load.stop("for the metrics");
    report.none_failed();
    for _ in 0..6 {
        assert_eq!(lb.get(&host, "/?status=404").status, 404);
    }
    for _ in 0..4 {
        assert_eq!(lb.get(&host, "/?status=500").status, 500);
    }
    assert_eq!(lb.get(&scope.host("unknown"), "/").status, 503);

    // The last request is counted when its answer has ended, hardly later than
    // the client has it.
    let total = report.ok + 10;
    let metrics = wait::until(
        "every request to be counted",
        || lb.ask_admin("/metrics").body,
        || {
            let metrics = lb.metrics();
            let counted = metrics.count("lb_requests_total", &[("service", &host)]);
            (counted >= total).then_some(metrics)
        },
    );
    let service = ("service", host.as_str());
    let requests = |labels: &[(&str, &str)]| metrics.count("lb_requests_total", labels);
    assert_eq!(requests(&[service]), total);
    assert_eq!(requests(&[service, ("code", "2xx")]), report.ok);
    assert_eq!(requests(&[service, ("code", "4xx")]), 6);
    assert_eq!(requests(&[service, ("code", "5xx")]), 4);
    assert_eq!(requests(&[("service", ""), ("code", "5xx")]), 1);
    for (app, name) in apps.iter().zip(["a", "b"]) {
        let endpoint = ("endpoint", app.name.as_str());
        assert_eq!(requests(&[service, endpoint, ("code", "2xx")]), report.from(name));
        assert_eq!(requests(&[service, endpoint]), app.requests());
        assert!(metrics.count("lb_upstream_connects_total", &[endpoint, ("outcome", "ok")]) > 0);
        let durations = metrics.count("lb_upstream_request_duration_seconds_count", &[endpoint]);
        assert_eq!(durations, app.requests());
    }
    let durations = metrics.count("lb_request_duration_seconds_count", &[service]);
    assert_eq!(durations, total);
    let answered = metrics.count("lb_upstream_first_byte_duration_seconds_count", &[service]);
    assert_eq!(answered, total);
    let replies = metrics.count("lb_local_replies_total", &[("reason", "no_route")]);
    assert_eq!(replies, 1);
    assert_eq!(metrics.count("lb_endpoints", &[service, ("state", "ready")]), 2);

    assert_eq!(metrics.count("lb_discovery_connected", &[("source", "docker")]), 1);
    assert!(metrics.sum("lb_discovery_last_contact_seconds", &[]) < 5.0);
    for name in ["events", "inspects", "resyncs"].map(|name| format!("lb_discovery_{name}_total")) {
        assert!(metrics.of(&name).count() > 0, "{name}");
    }
    assert_eq!(metrics.of("lb_build_info").count(), 1);
}

fn what_is_known_of_containers_is_what_the_reference_says(scope: &Scope) {
    let host = scope.host("app");
    let lb = Lb::start();
    let metrics = |is_so: &dyn Fn(&Metrics) -> bool| {
        wait::until(
            "the metrics",
            || lb.ask_admin("/metrics").body,
            || Some(lb.metrics()).filter(is_so),
        )
    };
    let source = [("source", "docker")];
    // Others may come and go meanwhile.
    let lags = |now: &Metrics| now.count("lb_discovery_event_lag_seconds_count", &source);
    let known = |now: &Metrics| now.count("lb_endpoint_ready_duration_seconds_count", &source);
    let (before, known_before) = (lags(&lb.metrics()), known(&lb.metrics()));
    let app = scope.app("app").hosts(&["app"]).start();
    lb.ready(&host, 1);
    metrics(&|now| lags(now) > before && known(now) > known_before);
    let drained = |now: &Metrics| now.count("lb_drains_total", &[("outcome", "finished")]);
    let before = drained(&lb.metrics());
    app.docker(&["stop"]);
    let now = metrics(&|now| drained(now) > before);
    // The engine's clock is that of this machine.
    assert!(now.sum("lb_discovery_event_lag_seconds_sum", &source) < 60.0 * lags(&now) as f64);
    let shown: BTreeSet<_> = now.families().map(|(name, _)| name).collect();
    let reference = Reference::read();
    let mut said = reference.names();
    said.retain(|name| name.contains("_discovery_"));
    assert!(!said.is_empty() && said.is_subset(&shown), "{said:?} of {shown:?}");
}

fn promtool_finds_nothing_wrong_with_the_metrics(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    lb.served_from(&host);
    for text in [lb.ask_admin("/metrics").body, app.control("GET", "/metrics").body] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        let mut command = Command::new(PROMTOOL);
        let output = command.args(["check", "metrics"]).stdin(file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    }
}

/// Of Debian's package `prometheus`.
const PROMTOOL: &str = "promtool";

fn promtool() -> Result<(), Lack> {
    match Command::new(PROMTOOL).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => Err(Lack { what: format!("{PROMTOOL} is not installed"), fatal_in_ci: true }),
    }
}

fn the_series_of_a_removed_container_go_with_it(scope: &Scope) {
    let host = scope.host("app");
    let [gone, stays] = ["gone", "stays"].map(|name| scope.app(name).hosts(&["app"]).start());
    let lb = Lb::start();
    lb.ready(&host, 2);
    for _ in 0..4 {
        lb.served_from(&host);
    }
    assert!(lb.metrics().values("endpoint").contains(gone.name.as_str()));
    let name = gone.name.clone();
    gone.remove();
    wait::until(
        "its series to go",
        || lb.ask_admin("/metrics").body,
        || (!lb.metrics().values("endpoint").contains(name.as_str())).then_some(()),
    );
    assert!(lb.metrics().values("endpoint").contains(stays.name.as_str()));
}

fn the_admin_listener_answers_what_it_lists(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let lb = Lb::start();
    lb.ready(&host, 1);
    let index = lb.ask_admin("/");
    for path in ["/metrics", "/healthz", "/readyz", "/endpoints"] {
        assert!(index.body.contains(path), "{index:?}");
        assert_eq!(lb.ask_admin(path).status, 200, "{path}");
    }
    assert_eq!(lb.ask_admin("/nothing").status, 404);
    let now = lb.endpoints();
    assert!(now.docker.connected && now.docker.containers >= 1);
    let found = now.endpoint(&app.name).unwrap();
    assert_eq!((&found.id, found.address.map(|at| at.ip())), (&app.id, Some(app.ip())));
    // What is for operators is not for clients.
    assert_eq!(lb.get("admin", "/metrics").status, 503);
}

fn check_exits_with_0_once_ready_and_1_before(_: &Scope) {
    let check = |lb: &Lb| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb-bin"));
        command.arg("check").args(["--admin", &lb.admin.to_string()]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let lb = Lb::start();
    wait::until("ready", || lb.stderr(), || (lb.ask_admin("/readyz").status == 200).then_some(()));
    assert_eq!(check(&lb), (Some(0), String::new()));

    let lb = Lb::with(|lb| {
        lb.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    });
    let (code, said) = check(&lb);
    assert_eq!(code, Some(1));
    assert!(said.contains("not ready (503)"), "{said}");
}

fn the_access_log_is_ncsa_combined_with_host_and_container(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let lb = Lb::with(|lb| {
        lb.env("LB_ACCESS_LOG", &path);
    });
    lb.ready(&host, 1);
    let greeting = lb.get(&host, "/a?b=c");
    lb.get(&host, "/?status=404&size=10");
    lb.get(&scope.host("unknown"), "/");

    let read = || fs::read_to_string(&path).unwrap();
    let mut lines = wait::until("three lines", read, || {
        let lines: Vec<_> = read().lines().map(Line::parse).collect();
        (lines.len() == 3).then_some(lines)
    });
    // Each worker writes in order; two of them may be some milliseconds apart.
    lines.sort_by_key(|line| line.status);
    let short: Vec<_> = lines
        .iter()
        .map(|line| (line.host.as_str(), line.request.as_str(), line.status, line.end.as_str()))
        .collect();
    let unknown = scope.host("unknown");
    let answered = format!("{:?} 1 -", app.name);
    assert_eq!(
        short,
        [
            (host.as_str(), "GET /a?b=c HTTP/1.1", 200, answered.as_str()),
            (host.as_str(), "GET /?status=404&size=10 HTTP/1.1", 404, answered.as_str()),
            (unknown.as_str(), "GET / HTTP/1.1", 503, "\"-\" 0 no_route"),
        ]
    );
    assert_eq!(lines[0].bytes, greeting.body.len());
    assert_eq!(lines[1].bytes, 10);
    for line in lines {
        assert_eq!((line.client.as_str(), line.agent.as_str()), ("127.0.0.1", "lb-e2e"));
    }
}

fn the_access_log_file_is_opened_anew_on_sigusr1(scope: &Scope) {
    let host = scope.host("app");
    scope.app("app").hosts(&["app"]).start();
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let lb = Lb::with(|lb| {
        lb.env("LB_ACCESS_LOG", &path);
    });
    lb.ready(&host, 1);
    let lines = |path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let written = |path, number| {
        let state = || format!("{path:?} has {} lines", lines(path));
        wait::until("lines", state, || (lines(path) == number).then_some(()));
    };
    lb.get(&host, "/");
    written(&path, 1);
    fs::rename(&path, &old).unwrap();
    lb.get(&host, "/");
    written(&old, 2);

    lb.signal("USR1");
    wait::until("the new file", || lb.stderr(), || path.exists().then_some(()));
    lb.get(&host, "/");
    written(&path, 1);
    assert_eq!(lines(&old), 2);
}

/// A line of the access log.
struct Line {
    host: String,
    client: String,
    request: String,
    status: u16,
    bytes: usize,
    agent: String,
    /// The container, how many attempts, and why the balancer answered itself.
    end: String,
}

impl Line {
    /// `host client - - [time] "request" status bytes "referer" "agent" "container"
    /// seconds attempts reason`
    #[track_caller]
    fn parse(line: &str) -> Self {
        Self::read(line).unwrap_or_else(|| panic!("not a line of an access log: {line:?}"))
    }

    fn read(line: &str) -> Option<Self> {
        let (host, rest) = line.split_once(' ')?;
        let (client, rest) = rest.split_once(" - - [")?;
        let (time, rest) = rest.split_once("] \"")?;
        let (request, rest) = rest.split_once("\" ")?;
        let (status, rest) = rest.split_once(' ')?;
        let (bytes, rest) = rest.split_once(" \"")?;
        let quoted: Vec<_> = rest.split("\" \"").collect();
        let [_referer, agent, end] = quoted[..] else { return None };
        let (container, end) = end.split_once("\" ")?;
        let (seconds, end) = end.split_once(' ')?;
        (seconds.parse::<f64>().ok()? < 10.0).then_some(())?;
        // 22/Nov/2026:16:48:00 +0000
        let shape = |c: char| match c {
            '0'..='9' => 'd',
            'a'..='z' | 'A'..='Z' => 'a',
            '+' | '-' => '+',
            other => other,
        };
        let time: String = time.chars().map(shape).collect();
        (time == "dd/aaa/dddd:dd:dd:dd +dddd").then_some(())?;
        Some(Self {
            host: host.to_owned(),
            client: client.to_owned(),
            request: request.to_owned(),
            status: status.parse().ok()?,
            bytes: bytes.parse().ok()?,
            agent: agent.to_owned(),
            end: format!("{container:?} {end}"),
        })
    }
}
