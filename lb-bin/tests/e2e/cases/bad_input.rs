//! What can't be used: said clearly, once, and at nobody else's cost.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Command,
    thread,
};

use crate::{compose::socket, engine, lb::Lb, load::Plan, scope::Scope, wait};

super::cases! {
    settings_that_cant_be_used_touch_no_other_container,
    without_a_socket_it_says_so_and_goes_on_when_there_is_one,
    without_permission_it_names_the_group_to_add if engine::root,
    an_engine_that_is_too_old_or_refuses_is_told_apart,
}

fn settings_that_cant_be_used_touch_no_other_container(scope: &Scope) {
    let good = scope.host("good");
    scope.app("good").hosts(&["good"]).start();
    let lb = Lb::start();
    lb.ready(&good, 1);
    let load = Plan::new(lb.address, &good).rate(100, 4).start();

    let spaced = "two words.test";
    let regex = r"~^app\d\.test$";
    let bad: Vec<_> = [
        ("VIRTUAL_PORT", "0", "a port is a number from 1 to 65535"),
        ("VIRTUAL_PORT", "70000", "a port is a number from 1 to 65535"),
        ("VIRTUAL_PORT", "abc", "a port is a number from 1 to 65535"),
        ("VIRTUAL_HOST", spaced, "separate several hosts by commas"),
        ("VIRTUAL_HOST", regex, "regular expressions are not supported"),
        ("VIRTUAL_PATH", "/api", "give the container a host of its own"),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (key, value, remedy))| {
        let app = scope.app(&format!("bad{n}")).hosts(&["bad"]).env(key, value).start();
        (app, key, value, remedy)
    })
    .collect();
    for (app, key, value, remedy) in &bad {
        lb.until(&format!("{key}={value} to be quarantined"), |now| {
            let found = now.unrouted(&app.name)?;
            assert_eq!(found.state, "quarantined", "{found:?}");
            let told = |said: &String| [*key, remedy].iter().all(|part| said.contains(part));
            assert!(found.reasons.iter().any(told), "{found:?}");
            Some(())
        });
    }
    assert_eq!(lb.get(&scope.host("bad"), "/").status, 503);

    // Named twice, it is served all the same.
    let twice = scope.host("twice");
    let app = scope.app("twice").hosts(&["twice", "twice"]).start();
    lb.state(&app.name, "ready", "named twice");
    assert_eq!(lb.served_from(&twice), "twice");

    // More events are no reason to say it again.
    bad[0].0.docker(&["pause"]);
    bad[0].0.docker(&["unpause"]);
    let unpaused = [("type", "unpause")];
    wait::until(
        "the event",
        || lb.stderr(),
        || (lb.metrics().count("lb_discovery_events_total", &unpaused) > 0).then_some(()),
    );
    load.go_on(50);
    let said = lb.stderr();
    for (app, key, ..) in &bad {
        let about = |line: &&str| line.contains(&app.name) && line.contains(key);
        let warnings: Vec<_> = said.lines().filter(about).collect();
        assert_eq!(warnings.len(), 1, "{key} of {}: {warnings:#?}", app.name);
        assert!(warnings[0].contains("WARN"), "{warnings:?}");
    }
    let report = load.stop("beside containers with bad settings");
    report.none_failed();
    report.slow_at_most(report.sent / 50);
}

fn without_a_socket_it_says_so_and_goes_on_when_there_is_one(scope: &Scope) {
    let host = scope.host("app");
    scope.app("app").hosts(&["app"]).start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    let lb = at(&path);
    unready(&lb, &[&format!("no Docker socket at {}", path.display()), "mount it"]);
    let refused = lb.get(&host, "/");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(lb.ask_admin("/healthz").status, 200);

    symlink(socket(), &path).unwrap();
    lb.ready(&host, 1);
    assert_eq!(lb.ask_admin("/readyz").status, 200);
    assert_eq!(lb.served_from(&host), "app");
    // It was tried many times and told once.
    let told = lb.stderr().matches("no Docker socket").count();
    assert_eq!(told, 1, "{}", lb.stderr());
}

fn without_permission_it_names_the_group_to_add(scope: &Scope) {
    let host = scope.host("app");
    scope.app("app").hosts(&["app"]).start();
    // The binary may be in a folder that others may not enter.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("lb-bin");
    fs::copy(env!("CARGO_BIN_EXE_lb-bin"), &binary).unwrap();
    let nobody = |groups: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65532", "--regid=65532", groups]).arg(&binary);
        Lb::run(command, |_| {})
    };

    let group = fs::metadata(socket()).unwrap().gid();
    let lb = nobody("--clear-groups");
    unready(
        &lb,
        &["no permission", &format!("--group-add {group}"), &format!("DOCKER_GID={group}")],
    );

    let lb = nobody(&format!("--groups={group}"));
    lb.ready(&host, 1);
    assert_eq!(lb.served_from(&host), "app");
}

fn an_engine_that_is_too_old_or_refuses_is_told_apart(_: &Scope) {
    let too_new = r#"{"message":"client version 1.41 is too new. Maximum supported is 1.40"}"#;
    for (ping, other, told) in [
        (pong("Api-Version: 1.10\r\n"), String::new(), &["speaks API 1.10", "update the engine"]),
        (pong(""), String::new(), &["is no Docker engine", "DOCKER_HOST"]),
        (
            pong("Api-Version: 1.41\r\n"),
            response("400 Bad Request", "Content-Type: application/json\r\n", too_new),
            &["too new", "update whichever of balancer and engine is the older"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is its own affair.
                let _ = stream.and_then(|stream| pretend(&stream, &ping, &other));
            }
        });
        let lb = at(&path);
        unready(&lb, told);
        assert_eq!(lb.ask_admin("/healthz").status, 200);
    }
}

/// A balancer that looks for the engine at this path.
fn at(path: &Path) -> Lb {
    Lb::with(|lb| {
        lb.env("DOCKER_HOST", format!("unix://{}", path.display()));
    })
}

/// Waits until it says that it isn't ready, with all of these words.
#[track_caller]
fn unready(lb: &Lb, words: &[&str]) {
    let state = || format!("{}\n{}", lb.ask_admin("/readyz").body, lb.stderr());
    wait::until(&format!("/readyz to say {words:?}"), state, || {
        let ready = lb.ask_admin("/readyz");
        assert_eq!(ready.status, 503, "{ready:?}");
        let stderr = lb.stderr();
        let said = |text: &str| words.iter().all(|word| text.contains(word));
        (said(&ready.body) && said(&stderr)).then_some(())
    });
}

fn pong(header: &str) -> String {
    response("200 OK", header, "OK")
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Answers one request as an engine might.
fn pretend(stream: &UnixStream, ping: &str, other: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let answer = if request.contains("_ping") { ping } else { other };
    let mut stream = stream;
    stream.write_all(answer.as_bytes())
}
