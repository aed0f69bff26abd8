//! How it stops.

use std::io::ErrorKind;

use crate::{client::Client, lb::Lb, load::Load, site::Site};

#[tokio::test]
async fn readiness_goes_first_and_the_listener_last() {
    let site = Site::start("a");
    let mut lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address)).arg("--stop-delay=1h");
    })
    .await;
    lb.ready("app.local", 1).await;
    let mut idle = lb.client().await;
    assert!(!idle.get("app.local", "/").await.unwrap().closes);
    let load = Load::start(lb.address(), "app.local");
    load.more(50).await;

    lb.signal("TERM").await;
    lb.readyz(503).await;
    assert!(lb.ask("/readyz").await.1.contains("stopping"));
    load.more(200).await;
    load.none_failed().await;
    let answer = lb.client().await.get("app.local", "/").await.unwrap();
    assert!(answer.status == 200 && answer.closes, "{answer:?}");
    let answer = idle.get("app.local", "/").await.unwrap();
    assert!(answer.status == 200 && answer.closes, "{answer:?}");

    lb.signal("TERM").await;
    assert_eq!(lb.ended().await.code(), Some(1), "{}", lb.log());
    let refused = Client::try_connect(lb.address()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn what_is_in_flight_finishes_and_tunnels_live_until_the_drain_timeout() {
    let (site, echo) = (Site::start("a"), Site::start("echo"));
    let mut lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address));
        lb.arg(format!("--upstream=echo.local={}", echo.address)).arg("--drain-timeout=3s");
    })
    .await;
    lb.ready("app.local", 1).await;
    lb.ready("echo.local", 1).await;
    let (mut slow, mut tunnel) = (lb.client().await, lb.client().await);
    tunnel.upgrade("echo.local").await;
    slow.send("app.local", "/?latency=1500ms").await.unwrap();
    site.busy().await;

    lb.signal("TERM").await;
    lb.readyz(503).await;
    let answer = slow.receive().await.unwrap();
    assert!(answer.status == 200 && answer.closes, "{answer:?}");
    tunnel.echo("longer than the stop delay").await;
    assert_eq!(lb.ended().await.code(), Some(0), "{}", lb.log());
    tunnel.closed().await;
    lb.says("1 connections were still busy and are cut off").await;
}

/// However long the delay is, the drain timeout begins after it.
#[tokio::test]
async fn the_drain_timeout_counts_from_the_end_of_the_delay() {
    let site = Site::start("a");
    let mut lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address));
        lb.args(["--stop-delay=4s", "--drain-timeout=4s"]);
    })
    .await;
    lb.ready("app.local", 1).await;
    let mut tunnel = lb.client().await;
    tunnel.upgrade("app.local").await;
    lb.signal("TERM").await;
    while Client::try_connect(lb.address()).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tunnel.echo("after the delay").await;
    drop(tunnel);
    assert_eq!(lb.ended().await.code(), Some(0), "{}", lb.log());
    lb.says("INFO stopped").await;
}

#[tokio::test]
async fn a_hang_up_ends_the_demo() {
    let mut lb = Lb::start(|lb| {
        lb.arg("demo");
    })
    .await;
    lb.signal("HUP").await;
    assert_eq!(lb.ended().await.code(), Some(0), "{}", lb.log());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let site = Site::start("a");
    let mut lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address));
        lb.args(["--stop-delay=1h", "--drain-timeout=1h"]);
    })
    .await;
    lb.ready("app.local", 1).await;
    let mut tunnel = lb.client().await;
    tunnel.upgrade("app.local").await;
    lb.signal("TERM").await;
    lb.readyz(503).await;
    tunnel.echo("it waits").await;
    lb.signal("TERM").await;
    assert_eq!(lb.ended().await.code(), Some(1));
    lb.says("stopped at once by a second signal").await;
}

#[tokio::test]
async fn an_interrupt_does_not_wait_for_others_to_notice() {
    let mut lb = Lb::start(|lb| {
        lb.args(["--stop-delay=1h", "--drain-timeout=1h"]);
    })
    .await;
    lb.signal("INT").await;
    assert_eq!(lb.ended().await.code(), Some(0), "{}", lb.log());
}

#[tokio::test]
async fn a_signal_before_it_has_started_is_not_lost() {
    // An engine that never answers: it waits to know the containers.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let engine = tokio::net::UnixListener::bind(&socket).unwrap();
    let mut command = crate::lb::command();
    command.env("LB_DOCKER", "on").env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let mut lb = crate::lb::Process::spawn(command);
    let _asked = engine.accept().await.unwrap();
    lb.signal("TERM").await;
    assert_eq!(lb.ended().await.code(), Some(0), "{}", lb.log());
    lb.says("stopped before it had started").await;
}
