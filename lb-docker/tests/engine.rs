//! Discovery against a real engine. Without one these tests are ignored, unless
//! `CI` is set: there, an engine that is missing is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../examples/docker_client.rs"]
#[allow(dead_code, reason = "a program of its own")]
mod docker_client;
mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use lb_core::endpoint::{Obstacle, Reason, State};
use lb_docker::Options;
use libtest_mimic::{Arguments, Trial};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use self::support::{
    docker::{Image, Network, docker, try_docker},
    observer::{Observer, options, until},
    relay::Relay,
    tls,
};

/// The engine of this machine, and the image to run there.
struct Bench {
    socket: PathBuf,
    image: Image,
}

const HOST: [&str; 2] = ["-e", "VIRTUAL_HOST=a.lbt.test"];

async fn running_containers_are_found_at_the_start(bench: Arc<Bench>) {
    let one = bench.image.run(&HOST);
    let two = bench.image.run(&["--label", "lb.host=b.lbt.test", "--label", "lb.port=9090"]);
    let seen = Observer::synced(&bench.socket).await;
    assert_eq!(seen.state(&one.id), Some(&State::Active));
    let ip = docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &one.id]);
    assert_eq!(seen.address(&one.id), Some(format!("{ip}:8080")), "the one TCP port exposed");
    assert!(seen.address(&two.id).unwrap().ends_with(":9090"));
    let registration = &seen.known[&two.id].target;
    assert_eq!(*registration.name, *two.name);
    assert_eq!(registration.bindings[0].host.to_string(), "b.lbt.test");
    assert!(registration.created > seen.known[&one.id].target.created);
    let report = seen.status.report();
    assert!(report.connected && report.synced && report.containers >= 2);
    assert!(report.version.unwrap().engine.contains('/'));
}

async fn a_container_started_later_costs_one_inspection(bench: Arc<Bench>) {
    let mut relay = Relay::new(&bench.socket);
    relay.listen();
    let mut seen = Observer::synced(&relay.path()).await;
    let app = bench.image.run(&HOST);
    seen.until_active(&app.id).await;
    assert_eq!(relay.asked(&format!("/containers/{}/json", app.id)), 1);
}

async fn who_stops_drains_before_it_is_down(bench: Arc<Bench>) {
    let app = bench.image.run(&HOST);
    let mut seen = Observer::synced(&bench.socket).await;
    docker(&["stop", &app.id]);
    seen.until_down(&app.id, "exited (0)").await;
    let states = seen.states(&app.id);
    let exited = State::Down(Reason::new(Obstacle::NotRunning, "exited (0)"));
    assert_eq!(states, [State::Active, State::Draining, exited]);
    assert_eq!(seen.known[&app.id].target.bindings.len(), 1, "its host stays known");
    docker(&["rm", &app.id]);
    seen.until("removal", |seen| seen.state(&app.id).is_none()).await;
}

async fn who_is_started_again_is_back(bench: Arc<Bench>) {
    let app = bench.image.run(&HOST);
    let mut seen = Observer::synced(&bench.socket).await;
    docker(&["restart", &app.id]);
    seen.until_down(&app.id, "exited").await;
    seen.until_active(&app.id).await;
    assert!(seen.address(&app.id).is_some());
}

async fn who_crashes_and_is_restarted_by_the_engine(bench: Arc<Bench>) {
    let app = bench.image.run(&[&HOST[..], &["--restart", "always"]].concat());
    let mut seen = Observer::synced(&bench.socket).await;
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &app.id]);
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
    seen.until_down(&app.id, "exited (137)").await;
    seen.until_active(&app.id).await;
}

async fn a_signal_to_reload_changes_nothing(bench: Arc<Bench>) {
    let app = bench.image.run(&HOST);
    let mut seen = Observer::synced(&bench.socket).await;
    docker(&["kill", "-s", "USR2", &app.id]);
    docker(&["pause", &app.id]);
    seen.until_down(&app.id, "paused").await;
    assert_eq!(
        seen.states(&app.id),
        [State::Active, State::Down(Reason::new(Obstacle::NotRunning, "paused"))]
    );
    docker(&["unpause", &app.id]);
    seen.until_active(&app.id).await;
}

async fn who_ignores_the_signal_is_taken_back(bench: Arc<Bench>) {
    let options = [&HOST[..], &["--stop-timeout", "1"]].concat();
    let app = bench.image.run_with(&options, &["stubborn"]);
    let mut seen = Observer::synced(&bench.socket).await;
    docker(&["kill", "-s", "TERM", &app.id]);
    seen.until("draining", |seen| seen.state(&app.id) == Some(&State::Draining)).await;
    seen.until_active(&app.id).await;
}

async fn who_names_no_host_is_not_bound(bench: Arc<Bench>) {
    let app = bench.image.run(&[]);
    let seen = Observer::synced(&bench.socket).await;
    let endpoint = &seen.known[&app.id];
    assert_eq!(endpoint.target.bindings, []);
    assert_eq!(endpoint.target.problems, []);
    assert!(
        matches!(&endpoint.state, State::Down(reason) if reason.as_str().contains("VIRTUAL_HOST"))
    );
}

async fn a_malformed_one_touches_no_other(bench: Arc<Bench>) {
    let good = bench.image.run(&HOST);
    let mut seen = Observer::synced(&bench.socket).await;
    let before = seen.known[&good.id].clone();
    for bad in [
        &["-e", "VIRTUAL_HOST=a b"][..],
        &["-e", "VIRTUAL_HOST=~^x"],
        &["-e", "VIRTUAL_HOST=a.lbt.test", "-e", "VIRTUAL_PORT=70000"],
        &["-e", "VIRTUAL_HOST=a.lbt.test", "-e", "VIRTUAL_PATH=/api"],
    ] {
        let bad = bench.image.run(bad);
        seen.until("quarantine", |seen| seen.known.contains_key(&bad.id)).await;
        let registration = &seen.known[&bad.id].target;
        assert_eq!(registration.bindings, []);
        assert_eq!(registration.problems.len(), 1, "{registration:?}");
    }
    assert_eq!(seen.known[&good.id], before);
}

async fn health_decides(bench: Arc<Bench>) {
    let mut seen = Observer::synced(&bench.socket).await;
    let app = bench.image.run_checked(&HOST);
    seen.until("container", |seen| seen.known.contains_key(&app.id)).await;
    assert!(matches!(seen.state(&app.id), Some(State::Down(_))), "not before the first check");
    app.exec("well");
    seen.until_active(&app.id).await;
    app.exec("ill");
    seen.until_down(&app.id, "unhealthy").await;
    app.exec("well");
    seen.until_active(&app.id).await;
    // Where it was lost in a moment: nobody waits for the first check.
    let eager = bench.image.run_checked(&[&HOST[..], &["--label", "lb.ready=accept"]].concat());
    seen.until("container", |seen| seen.known.contains_key(&eager.id)).await;
    assert_eq!(seen.states(&eager.id)[0], State::Active);
}

async fn the_first_network_by_name_counts(bench: Arc<Bench>) {
    let (first, second) = (Network::create(), Network::create());
    let app = bench.image.run(&[&HOST[..], &["--network", &second.name]].concat());
    let mut seen = Observer::synced(&bench.socket).await;
    let at = |network: &Network| Some(format!("{}:8080", network.address(&app)));
    assert_eq!(seen.address(&app.id), at(&second));
    first.connect(&app);
    let address = at(&first);
    seen.until("new address", |seen| seen.address(&app.id) == address).await;
    first.disconnect(&app);
    let address = at(&second);
    seen.until("old address", |seen| seen.address(&app.id) == address).await;
    second.disconnect(&app);
    seen.until_down(&app.id, "no address").await;
}

async fn from_a_container_only_its_networks_are_reachable(bench: Arc<Bench>) {
    let (inside, outside) = (Network::create(), Network::create());
    let own = bench.image.run(&["--network", &inside.name]);
    let near = bench.image.run(&[&HOST[..], &["--network", &inside.name]].concat());
    let far = bench.image.run(&[&HOST[..], &["--network", &outside.name]].concat());
    let host = bench.image.run(&[&HOST[..], &["--network", "host"]].concat());
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir(proc.path().join("self")).unwrap();
    fs::write(proc.path().join("self/cgroup"), format!("1:cpu:/docker/{}\n", own.id)).unwrap();

    let mut seen = Observer::new(options(&bench.socket).proc(proc.path()));
    seen.until_active(&near.id).await;
    seen.until_down(&far.id, "no address").await;
    let gateway = docker(&[
        "network",
        "inspect",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
        &inside.name,
    ]);
    assert_eq!(seen.address(&host.id), Some(format!("{gateway}:8080")));
    outside.connect(&own);
    seen.until_active(&far.id).await;
}

async fn a_new_name(bench: Arc<Bench>) {
    let app = bench.image.run(&HOST);
    let mut seen = Observer::synced(&bench.socket).await;
    let name = support::docker::unique("renamed");
    docker(&["rename", &app.id, &name]);
    seen.until("new name", |seen| *seen.known[&app.id].target.name == *name).await;
    assert_eq!(seen.states(&app.id), [State::Active]);
}

async fn a_lost_engine_changes_nothing_until_it_is_back(bench: Arc<Bench>) {
    let mut relay = Relay::new(&bench.socket);
    relay.listen();
    let (stays, goes) = (bench.image.run(&HOST), bench.image.run(&HOST));
    let mut seen = Observer::synced(&relay.path()).await;
    relay.cut();
    until("loss", || !seen.status.report().connected).await;
    assert!(seen.status.report().synced);
    let gone = goes.id.clone();
    drop(goes);
    let comes = bench.image.run(&HOST);
    assert_eq!(seen.state(&gone), Some(&State::Active));
    until("remedy", || {
        seen.status.report().last_error.is_some_and(|error| error.contains("no Docker socket"))
    })
    .await;
    relay.listen();
    seen.until("second set", |seen| seen.resets == 2).await;
    assert_eq!(seen.state(&stays.id), Some(&State::Active));
    assert_eq!(seen.state(&comes.id), Some(&State::Active));
    assert_eq!(seen.state(&gone), None);
    let report = seen.status.report();
    assert!(report.connected && report.last_error.is_none());
}

async fn an_engine_that_hangs_is_noticed(bench: Arc<Bench>) {
    let mut relay = Relay::new(&bench.socket);
    relay.listen();
    let app = bench.image.run(&HOST);
    let mut seen = Observer::synced(&relay.path()).await;
    relay.hang();
    until("loss", || !seen.status.report().connected).await;
    assert!(seen.status.report().last_error.unwrap().contains("hung"));
    assert_eq!(seen.state(&app.id), Some(&State::Active));
    relay.resume();
    seen.until("second set", |seen| seen.resets == 2).await;
}

async fn a_socket_may_appear_later(bench: Arc<Bench>) {
    let mut relay = Relay::new(&bench.socket);
    let mut seen = Observer::new(options(&relay.path()));
    until("remedy", || {
        seen.status.report().last_error.is_some_and(|error| error.contains("mount it"))
    })
    .await;
    assert!(!seen.status.report().synced);
    relay.listen();
    seen.until("first set", |seen| seen.resets == 1).await;
}

async fn an_engine_behind_tls(bench: Arc<Bench>) {
    let certificates = tls::certificates();
    let port = tls::serve(certificates.path(), bench.socket.clone()).await;
    let app = bench.image.run(&HOST);
    let from = |path: &Path| {
        let path = path.display().to_string();
        let options = Options::from_env(|key| match key {
            "DOCKER_HOST" => Some(format!("tcp://127.0.0.1:{port}")),
            "DOCKER_TLS_VERIFY" => Some("1".into()),
            "DOCKER_CERT_PATH" => Some(path.clone()),
            _ => None,
        });
        Observer::new(options.unwrap())
    };
    let mut seen = from(certificates.path());
    seen.until_active(&app.id).await;

    fs::remove_file(certificates.path().join("key.pem")).unwrap();
    let seen = from(certificates.path());
    until("remedy", || {
        seen.status.report().last_error.is_some_and(|error| error.contains("DOCKER_CERT_PATH"))
    })
    .await;
}

async fn the_example_asks_every_container_and_loses_no_request(bench: Arc<Bench>) {
    let host = ["-e", "VIRTUAL_HOST=example.lbt.test"];
    let [dies, lives] = std::array::from_fn(|_| bench.image.run_with(&host, &["serve"]));
    let _other = bench.image.run_with(&HOST, &["serve"]);
    let answers = Mutex::new(BTreeSet::new());
    let each = |number, answer: &str| {
        answers.lock().unwrap().insert(answer.to_owned());
        if number == 100 {
            docker(&["kill", &dies.id]);
        }
    };
    docker_client::run(options(&bench.socket), "example.lbt.test", 300, each).await.unwrap();
    let expected = [&dies, &lives].map(|container| container.id[..12].to_owned());
    assert_eq!(answers.into_inner().unwrap(), BTreeSet::from(expected));
}

/// Needs no engine: it is one, as far as the ping goes.
async fn an_engine_that_is_too_old() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let engine = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.24\r\nContent-Length: 2\r\n\r\nOK";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let seen = Observer::new(options(&socket));
    until("refusal", || {
        seen.status.report().last_error.is_some_and(|error| error.contains("speaks API 1.24"))
    })
    .await;
    engine.abort();
}

/// What a newer engine answers to a version that it no longer speaks.
async fn an_engine_that_is_too_new() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let engine = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let message = r#"{"message":"client version 1.53 is too old"}"#;
            let answer = if request[..read].starts_with(b"GET /_ping ") {
                "HTTP/1.1 200 OK\r\nApi-Version: 1.99\r\nContent-Length: 2\r\n\r\nOK".to_owned()
            } else {
                let length = message.len();
                format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {length}\r\n\r\n{message}")
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let seen = Observer::new(options(&socket));
    until("refusal", || {
        seen.status.report().last_error.is_some_and(|error| error.contains("client version"))
    })
    .await;
    engine.abort();
}

/// Nobody is told at the end that a task still runs.
async fn dropped_streams_end_their_work(bench: Arc<Bench>) {
    let mut relay = Relay::new(&bench.socket);
    relay.listen();
    let seen = Observer::synced(&relay.path()).await;
    let status = seen.status.clone();
    drop(seen);
    let tasks = tokio::runtime::Handle::current().metrics();
    relay.cut();
    drop(relay);
    until("end of all tasks", || tasks.num_alive_tasks() == 0).await;
    assert!(status.report().synced);
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        alone("an_engine_that_is_too_old", an_engine_that_is_too_old),
        alone("an_engine_that_is_too_new", an_engine_that_is_too_new),
    ];
    let socket = engine();
    let required = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    if socket.is_none() && required {
        trials.push(Trial::test("an_engine_is_there", || {
            Err("CI is set, and no Docker engine answers".into())
        }));
    }
    let ignored = socket.is_none();
    let bench = socket
        .filter(|_| !arguments.list)
        .map(|socket| Arc::new(Bench { socket, image: Image::build() }));
    macro_rules! on_engine {
        ($($test:ident),* $(,)?) => {
            $(trials.push(on_engine(stringify!($test), bench.clone(), $test).with_ignored_flag(ignored));)*
        };
    }
    on_engine!(
        running_containers_are_found_at_the_start,
        a_container_started_later_costs_one_inspection,
        who_stops_drains_before_it_is_down,
        who_is_started_again_is_back,
        who_crashes_and_is_restarted_by_the_engine,
        a_signal_to_reload_changes_nothing,
        who_ignores_the_signal_is_taken_back,
        who_names_no_host_is_not_bound,
        a_malformed_one_touches_no_other,
        health_decides,
        the_first_network_by_name_counts,
        from_a_container_only_its_networks_are_reachable,
        a_new_name,
        a_lost_engine_changes_nothing_until_it_is_back,
        an_engine_that_hangs_is_noticed,
        a_socket_may_appear_later,
        an_engine_behind_tls,
        the_example_asks_every_container_and_loses_no_request,
        dropped_streams_end_their_work,
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The image goes before the process does.
    drop(bench);
    conclusion.exit_code()
}

fn alone<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        block_on(test());
        Ok(())
    })
}

fn on_engine<F>(name: &str, bench: Option<Arc<Bench>>, test: fn(Arc<Bench>) -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        block_on(test(bench.ok_or("no Docker engine answers")?));
        Ok(())
    })
}

fn block_on(test: impl Future<Output = ()>) {
    // Discovery goes on while a test waits for a command.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap().block_on(test);
}

/// The socket of the engine, if one answers there.
fn engine() -> Option<PathBuf> {
    try_docker(&["version", "--format", "{{.Server.APIVersion}}"]).ok()?;
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let path = host.as_deref().unwrap_or("unix:///var/run/docker.sock").strip_prefix("unix://")?;
    Some(Path::new(path).to_owned())
}
