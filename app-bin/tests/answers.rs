//! What the server answers, byte by byte.

mod support;

use std::time::{Duration, Instant};

use support::{App, Client};

const GREETING: &str = "Hi there, I'm served from web!";

#[test]
fn greets_on_every_path_and_method() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
        for path in ["/", "/metrics", "/healthz", "/a/b?c=d"] {
            let answer = client.request(method, path);
            assert_eq!((answer.status(), &*answer.body), (200, GREETING), "{method} {path}");
        }
    }
}

#[test]
fn greets_with_three_headers() {
    let answer = App::start(&[]).get("/");
    assert_eq!(answer.status_line, "HTTP/1.1 200 OK");
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["content-type", "content-length", "date"]);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some("30"));
    assert!(answer.header("date").unwrap().ends_with(" GMT"));
    assert_eq!(answer.body, GREETING);
}

#[test]
fn greets_with_the_host_name_unless_named() {
    let mut app = App::spawn(&mut support::binary());
    app.wait_listening();
    let expected = format!("Hi there, I'm served from {}!", app_bin::hostname());
    assert_eq!(app.get("/").body, expected);

    // The environment says `web`.
    let app = App::start(&["--name=other"]);
    assert_eq!(app.get("/").body, "Hi there, I'm served from other!");
}

#[test]
fn head_has_the_headers_and_no_body() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    let answer = client.request("HEAD", "/");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-length"), Some("30"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    // A body would be taken for the head of this answer.
    assert_eq!(client.get("/").body, GREETING);
}

#[test]
fn reads_bodies_and_keeps_the_connection() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    let large = "x".repeat(1 << 20);
    client.send(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    ));
    assert_eq!(client.answer(false).body, GREETING);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer(false).body, GREETING);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.answer(false).status(), 100);
    client.send("abc");
    assert_eq!(client.answer(false).body, GREETING);
}

#[test]
fn closes_for_those_who_ask() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = client.answer(false);
    assert_eq!((answer.header("connection"), &*answer.body), (Some("close"), GREETING));
    client.wait_closed();
}

#[test]
fn waits_for_the_latency() {
    let latency = Duration::from_millis(300);
    let app = App::start(&["--latency=300ms"]);
    let since = Instant::now();
    assert_eq!(app.get("/").body, GREETING);
    assert!(since.elapsed() >= latency, "{:?}", since.elapsed());

    // A request can ask for less. The bound is wide, yet far from the option's.
    let app = App::start(&["--latency=1h", "--jitter=1h"]);
    assert_eq!(app.get("/?latency=1ms").body, GREETING);
}

#[test]
fn fails_its_share() {
    let app = App::start(&["--error-rate=1"]);
    let answer = app.get("/");
    assert_eq!((answer.status(), &*answer.body), (500, GREETING));
    assert_eq!(app.get("/?status=201").status(), 201);
}

#[test]
fn hangs_until_the_client_leaves() {
    let app = App::start(&["--hang-rate=1"]);
    let mut client = Client::connect(app.address);
    client.send(&support::head("GET", "/"));
    app.wait_in_flight(1);
    assert!(client.is_silent_for(Duration::from_millis(200)));
    drop(client);
    app.wait_in_flight(0);
    let metrics = app.control("GET", "/metrics").body;
    assert!(metrics.contains("app_requests_total{code=\"none\"} 1\n"), "{metrics}");
}

#[test]
fn makes_bodies_of_any_size() {
    let app = App::start(&["--body-size=64"]);
    let mut client = Client::connect(app.address);
    assert_eq!(client.get("/").body, format!("{GREETING}{GREETING}Hi t"));
    assert_eq!(client.get("/?size=2").body, "Hi");
    let empty = client.get("/?size=0");
    assert_eq!((empty.status(), empty.header("content-length")), (200, Some("0")));
    let large = client.get("/?size=1000000").body;
    assert_eq!(large.len(), 1_000_000);
    assert!(large.bytes().zip(GREETING.bytes().cycle()).all(|(got, want)| got == want));
}

#[test]
fn breaks_off_when_told_to() {
    let app = App::start(&[]);
    // A chunk has its length before it, in hexadecimal, and no end comes.
    let chunk = "1f4\r\n".len() + 500 + "\r\n".len();
    for (target, sent) in [("/?size=1000&truncate", 500), ("/?size=1000&truncate&chunked", chunk)] {
        let mut client = Client::connect(app.address);
        client.send(&support::head("GET", target));
        assert_eq!(client.head().status(), 200);
        assert_eq!(client.rest().len(), sent, "{target}");
    }
}

#[test]
fn answers_carry_the_identity_and_the_journal_tells_it() {
    let app = App::start(&["--journal"]);
    assert_eq!(app.get("/?id=a-1&status=404").header("x-id"), Some("a-1"));
    app.wait_line("accepted a-1");
    app.wait_line("executed a-1");
    // One that is never executed was accepted nonetheless.
    let mut client = Client::connect(app.address);
    client.send(&support::head("GET", "/?id=a-2&hang"));
    app.wait_line("accepted a-2");
    assert_eq!(app.get("/").header("x-id"), None);
}

#[test]
fn answers_with_any_status_on_one_connection() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    for status in [200, 204, 301, 304, 404, 429, 503, 599] {
        assert_eq!(client.get(&format!("/?status={status}")).status(), status);
    }
    assert_eq!(client.get("/").body, GREETING);
}

#[test]
fn echoes_the_request_as_received() {
    let app = App::start(&["--body-size=3"]);
    let mut client = Client::connect(app.address);
    client.send(
        "PUT /a%20b?echo HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nAccept:  */*\r\nX-Two: 2\r\n\r\n",
    );
    assert_eq!(
        client.answer(false).body,
        "PUT /a%20b?echo HTTP/1.1\nhost: h\nx-two: 1\nx-two: 2\naccept: */*\n"
    );
}

#[test]
fn refuses_bad_overrides_and_goes_on() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    let answer = client.get("/?latency=fast");
    assert_eq!(answer.status(), 400);
    assert_eq!(
        answer.body,
        "cannot use ?latency=fast: not a duration: write a number and a unit, as in 250ms, 2s or 1m30s\n"
    );
    assert_eq!(client.get("/").body, GREETING);
}

#[test]
fn upgrades_to_an_echo() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    // The first bytes come with the request, as those of an eager client do.
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
    let answer = client.answer(false);
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("upgrade"), Some("echo"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(client.read(5), "early");
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.read(18), "GET / HTTP/1.1\r\n\r\n");
    client.finish();
    client.wait_closed();
}

#[test]
fn upgrades_need_the_connection_header() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.answer(false).body, GREETING);
}

#[test]
fn serves_on_several_threads() {
    let app = App::start(&["--threads=2"]);
    assert_eq!(app.get("/").body, GREETING);
}

#[test]
fn connect_opens_no_tunnel() {
    let app = App::start(&[]);
    let mut client = Client::connect(app.address);
    // HTTP gives an answer to CONNECT no body, and its connection to the tunnel.
    let answer = client.request("CONNECT", "other:1");
    assert_eq!((answer.status(), answer.header("content-length")), (200, None));
    client.wait_closed();
}
