//! How the server starts and ends.

mod support;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::{App, Client, head};

const GREETING: &str = "Hi there, I'm served from web!";

/// A connection whose request is in flight.
fn in_flight(app: &App, target: &str) -> Client {
    let mut client = Client::connect(app.address);
    client.send(&head("GET", target));
    app.wait_in_flight(1);
    client
}

#[test]
fn starts_after_the_delay() {
    let since = Instant::now();
    let app = App::start(&["--start-delay=300ms"]);
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
    assert_eq!(app.get("/").body, GREETING);
}

#[test]
fn can_be_ended_before_it_has_started() {
    let mut app = App::launch(&["--start-delay=1h"]);
    app.wait_line("starting in ");
    app.signal("TERM");
    assert_eq!(app.wait_exit().code(), Some(0));
}

#[test]
fn exit_drops_what_is_in_flight() {
    let mut app = App::start(&["--on-term=exit"]);
    let mut client = in_flight(&app, "/?hang");
    app.signal("TERM");
    assert_eq!(app.wait_exit().code(), Some(0));
    client.wait_closed();
}

#[test]
fn drain_answers_what_is_in_flight() {
    let mut app = App::start(&["--drain-timeout=1h"]);
    let mut idle = Client::connect(app.address);
    assert_eq!(idle.get("/").header("connection"), None);
    // In flight for as long as its body is not complete.
    let mut busy = Client::connect(app.address);
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    app.wait_in_flight(1);

    app.signal("TERM");
    app.wait_line("SIGTERM: draining");
    idle.wait_closed();
    busy.send("abc");

    let answer = busy.answer(false);
    assert_eq!((answer.header("connection"), &*answer.body), (Some("close"), GREETING));
    busy.wait_closed();
    assert_eq!(app.wait_exit().code(), Some(0));
}

#[test]
fn drain_refuses_new_connections_and_health_checks() {
    let app = App::start(&["--drain-timeout=1h"]);
    let _held = in_flight(&app, "/?hang");
    app.signal("TERM");
    app.wait_line("SIGTERM: draining");

    let deadline = Instant::now() + support::SOON;
    while TcpStream::connect(app.address).is_ok() {
        assert!(Instant::now() < deadline, "still accepts");
    }
    let health = app.control("GET", "/healthz");
    assert_eq!((health.status(), &*health.body), (503, "draining\n"));
}

#[test]
fn drain_takes_what_the_kernel_has_queued() {
    let mut app = App::start(&[]);
    // Stopped, the process accepts nothing, and the kernel completes the
    // connections on its own.
    app.signal("STOP");
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(app.address)).collect();
    for client in &mut clients {
        client.send(&head("GET", "/"));
    }
    app.signal("TERM");
    app.signal("CONT");
    for client in &mut clients {
        let answer = client.answer(false);
        assert_eq!((answer.status(), &*answer.body), (200, GREETING));
        client.wait_closed();
    }
    assert_eq!(app.wait_exit().code(), Some(0));
}

#[test]
fn drain_gives_up_in_time() {
    let mut app = App::start(&["--drain-timeout=100ms"]);
    let mut client = in_flight(&app, "/?hang");
    app.signal("TERM");
    app.wait_line("drain timed out: dropping open connections (1)");
    assert_eq!(app.wait_exit().code(), Some(0));
    client.wait_closed();
}

#[test]
fn drain_waits_for_upgraded_connections() {
    let mut app = App::start(&["--drain-timeout=1h"]);
    let mut client = Client::connect(app.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.answer(false).status(), 101);
    app.signal("TERM");
    app.wait_line("SIGTERM: draining");
    client.send("still here");
    assert_eq!(client.read(10), "still here");
    drop(client);
    assert_eq!(app.wait_exit().code(), Some(0));
}

#[test]
fn ignore_keeps_serving() {
    let app = App::start(&["--on-term=ignore"]);
    app.signal("TERM");
    app.wait_line("SIGTERM: ignored");
    assert_eq!(app.get("/").body, GREETING);
    assert_eq!(app.control("GET", "/healthz").status(), 200);
}

#[test]
fn interrupt_ends_at_once_even_a_drain() {
    let mut app = App::start(&["--drain-timeout=1h"]);
    let _client = in_flight(&app, "/?hang");
    app.signal("TERM");
    app.wait_line("SIGTERM: draining");
    app.signal("INT");
    assert_eq!(app.wait_exit().code(), Some(130));
}
