//! How a new process takes over from the one that runs.

use std::{net::SocketAddr, path::Path};

use tempfile::TempDir;
use tokio::{net::UnixListener, process::Command};

use crate::{
    client::Client,
    lb::{self, Lb, Process, control, tell},
    load::Load,
    site::Site,
};

/// What the successor of this one is started with.
fn successor(old: &Lb, control: &str, site: &Site) -> Command {
    let mut command = lb::command();
    command
        .arg(format!("--listen={}", old.address()))
        .arg(format!("--admin={}", old.admin))
        .arg(format!("--upstream=app.local={}", site.address))
        .arg("--take-over")
        .env("LB_CONTROL", control);
    command
}

async fn start(control: &str, site: &Site) -> Lb {
    let lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address)).env("LB_CONTROL", control);
    })
    .await;
    lb.ready("app.local", 1).await;
    lb
}

#[tokio::test]
async fn under_load_nothing_fails_and_tunnels_stay_with_the_old_one() {
    let site = Site::start("a");
    let name = control();
    let mut old = start(&name, &site).await;
    let mut tunnel = old.client().await;
    tunnel.upgrade("app.local").await;
    let load = Load::start(old.address(), "app.local");
    load.more(100).await;
    let mut checks = Client::connect(old.admin).await;
    assert_eq!(checks.get("admin", "/readyz").await.unwrap().status, 200);

    let mut new = Lb::run(successor(&old, &name, &site)).await;
    assert_eq!((new.address(), new.admin), (old.address(), old.admin));
    new.says("taken over from the process before").await;
    old.says("another process has taken over").await;
    let answer = checks.get("admin", "/readyz").await.unwrap();
    assert!(answer.status == 200 && answer.closes, "{answer:?}");
    load.more(200).await;
    tunnel.echo("on the old one").await;
    // As whoever stops a container does that has handed over.
    old.signal("TERM").await;
    old.says("it is ending already").await;
    tunnel.echo("on the old one, still").await;
    assert_eq!(new.ask("/readyz").await.0, 200);

    // And once more, from the one that has taken over.
    let mut newest = Lb::run(successor(&new, &name, &site)).await;
    load.more(200).await;
    assert_eq!(new.ended().await.code(), Some(0), "{}", new.log());
    tunnel.echo("still").await;
    drop(tunnel);
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.log());
    load.more(100).await;
    load.none_failed().await;
    assert_eq!(tell(&name, &["reload"]).await, Ok("the configuration is reloaded".into()));
    newest.signal("TERM").await;
    assert_eq!(newest.ended().await.code(), Some(0), "{}", newest.log());
}

#[tokio::test]
async fn tunnels_are_cut_off_at_the_drain_timeout_of_the_old_one() {
    let site = Site::start("a");
    let name = control();
    let mut old = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address)).env("LB_CONTROL", &name);
        lb.arg("--drain-timeout=1s");
    })
    .await;
    old.ready("app.local", 1).await;
    let mut tunnel = old.client().await;
    tunnel.upgrade("app.local").await;
    let _new = Lb::run(successor(&old, &name, &site)).await;
    tunnel.closed().await;
    assert_eq!(old.ended().await.code(), Some(0));
    old.says("1 connections were still busy and are cut off").await;
}

#[tokio::test]
async fn who_was_drained_stays_so() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let name = control();
    let upstream = format!("--upstream=app.local={}", two.address);
    let old = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", one.address)).arg(&upstream);
        lb.env("LB_CONTROL", &name);
    })
    .await;
    old.ready("app.local", 2).await;
    tell(&name, &["drain", &one.address.to_string()]).await.unwrap();
    let before = one.requests();

    let mut command = successor(&old, &name, &one);
    command.arg(&upstream);
    let new = Lb::run(command).await;
    for _ in 0..10 {
        assert_eq!(new.client().await.get("app.local", "/").await.unwrap().status, 200);
    }
    assert_eq!(one.requests(), before);
    tell(&name, &["undrain", &one.address.to_string()]).await.unwrap();
    new.ready("app.local", 2).await;
}

#[tokio::test]
async fn where_nobody_answers_it_starts_as_usual() {
    let site = Site::start("a");
    let name = control();
    let lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address));
        lb.env("LB_CONTROL", &name).env("LB_TAKE_OVER", "true");
    })
    .await;
    lb.says(&format!("nobody answers at {name} to take over from")).await;
    lb.ready("app.local", 1).await;
    assert_eq!(lb.client().await.get("app.local", "/").await.unwrap().status, 200);
    let error = tell("off", &["--take-over"]).await.unwrap_err();
    assert!(error.starts_with(r#"2: lb-bin: --take-over is "true": that asks"#), "{error}");
}

/// A Docker engine that never answers: who asks it doesn't get to serve.
struct Silence {
    engine: UnixListener,
    folder: TempDir,
}

impl Silence {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { engine: UnixListener::bind(Self::path(&folder)).unwrap(), folder }
    }

    fn path(folder: &TempDir) -> std::path::PathBuf {
        Path::join(folder.path(), "docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", Self::path(&self.folder).display())
    }
}

#[tokio::test]
async fn one_that_ends_before_it_serves_has_changed_nothing() {
    let site = Site::start("a");
    let name = control();
    let mut old = start(&name, &site).await;
    let load = Load::start(old.address(), "app.local");
    let silence = Silence::new();
    let mut command = successor(&old, &name, &site);
    command.env("LB_DOCKER", "on").env("DOCKER_HOST", silence.host());
    let mut dies = Process::spawn(command);
    let _asked = silence.engine.accept().await.unwrap();
    old.says("another process is about to take over").await;

    // That one would not know of it.
    for command in [&["reload"][..], &["drain", "app"], &["undrain", "app"]] {
        let error = tell(&name, command).await.unwrap_err();
        assert!(error.ends_with("about to take over; ask again in a moment"), "{error}");
    }

    // A second one meanwhile is told to wait.
    let mut late = Process::spawn(successor(&old, &name, &site));
    assert_eq!(late.ended().await.code(), Some(1));
    late.says("another process is about to take over already").await;

    dies.signal("KILL").await;
    dies.ended().await;
    old.says("the process that was to take over has ended; this one goes on").await;
    load.more(100).await;
    assert_eq!(old.ask("/readyz").await.0, 200);
    assert_eq!(tell(&name, &["reload"]).await, Ok("the configuration is reloaded".into()));

    let _new = Lb::run(successor(&old, &name, &site)).await;
    load.more(100).await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.log());
    load.none_failed().await;
}

/// The file of the control socket belongs to whoever may still answer there.
#[tokio::test]
async fn one_that_stops_during_a_take_over_leaves_the_sockets_to_the_other() {
    let site = Site::start("a");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let name = path.to_str().unwrap();
    let mut old = start(name, &site).await;
    let silence = Silence::new();
    let waits = || {
        let mut command = successor(&old, name, &site);
        command.env("LB_DOCKER", "on").env("DOCKER_HOST", silence.host());
        command
    };
    let mut dies = Process::spawn(waits());
    let waits = waits();
    let _asked = silence.engine.accept().await.unwrap();
    dies.signal("KILL").await;
    dies.ended().await;
    old.says("has ended; this one goes on").await;
    assert_eq!(tell(name, &["reload"]).await, Ok("the configuration is reloaded".into()));

    let mut new = Process::spawn(waits);
    let _asked = silence.engine.accept().await.unwrap();
    old.signal("TERM").await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.log());
    assert!(path.exists());
    new.signal("KILL").await;
    new.ended().await;

    let mut last = start(name, &site).await;
    last.signal("TERM").await;
    assert_eq!(last.ended().await.code(), Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn one_that_is_stopping_is_waited_for() {
    let site = Site::start("a");
    let name = control();
    let mut old = start(&name, &site).await;
    let mut tunnel = old.client().await;
    tunnel.upgrade("app.local").await;
    old.signal("TERM").await;
    old.readyz(503).await;
    let late = Process::spawn(successor(&old, &name, &site));
    late.says("is stopping: waiting for its end").await;
    drop(tunnel);
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.log());
    let late = Lb::up(late).await;
    late.says("to take over from: this one starts as usual").await;
    late.ready("app.local", 1).await;
    assert_eq!(late.client().await.get("app.local", "/").await.unwrap().status, 200);
    assert_eq!(tell(&name, &["reload"]).await, Ok("the configuration is reloaded".into()));
}

#[tokio::test]
async fn addresses_may_differ() {
    let site = Site::start("a");
    let name = control();
    let mut old = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address));
        lb.arg("--listen=127.0.0.1:0,127.0.0.1:0").env("LB_CONTROL", &name);
    })
    .await;
    old.ready("app.local", 1).await;
    let [both, gone]: [SocketAddr; 2] = old.addresses.clone().try_into().unwrap();
    // It waits in the queue, or is accepted, when that socket is closed.
    let mut waits = Client::connect(gone).await;
    let mut command = lb::command();
    command
        .arg(format!("--listen=127.0.0.1:0,{both}"))
        .arg(format!("--upstream=app.local={}", site.address))
        .arg("--take-over")
        .env("LB_CONTROL", &name);
    let new = Lb::run(command).await;
    assert!(!new.addresses.contains(&gone) && new.addresses.contains(&both), "{:?}", new.addresses);
    new.says(&format!("nobody asked for the socket on {gone}")).await;
    old.says("another process has taken over").await;
    let answer = waits.get("app.local", "/").await.unwrap();
    assert!(answer.status == 200 && answer.closes, "{answer:?}");
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.log());
    for address in &new.addresses {
        let answer = Client::connect(*address).await.get("app.local", "/").await.unwrap();
        assert!(answer.status == 200 && !answer.closes, "{answer:?}");
    }
    assert!(Client::try_connect(gone).await.is_err());
}
