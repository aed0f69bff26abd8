//! The proxy as a whole: a real server in front, real servers behind, real
//! sockets between them.
#![cfg(all(feature = "http", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "proxy/explain.rs"]
mod explain;
#[path = "proxy/grpc.rs"]
mod grpc;
#[path = "proxy/http2.rs"]
mod http2;
#[path = "proxy/http2_endpoints.rs"]
mod http2_endpoints;
#[cfg(feature = "test-util")]
#[path = "proxy/interim.rs"]
mod interim;
#[path = "proxy/limits.rs"]
mod limits;
#[path = "proxy/numbers.rs"]
mod numbers;
#[path = "proxy/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "proxy/records.rs"]
mod records;
mod support;
#[path = "proxy/traces.rs"]
mod traces;
#[path = "proxy/trouble.rs"]
mod trouble;
#[cfg(feature = "tls")]
#[path = "proxy/upstream_tls.rs"]
mod upstream_tls;

use std::time::Duration;

use lb_core::{
    Endpoint,
    balance::Algorithm,
    endpoint::State,
    http::{Options, Trust},
};

use support::{Backend, Client, Lb};

#[tokio::test]
async fn requests_go_round() {
    let backends =
        [Backend::hello("a").await, Backend::hello("b").await, Backend::hello("c").await];
    let lb = Lb::start(Options::default()).await;
    for (backend, name) in backends.iter().zip(["a", "b", "c"]) {
        lb.upsert(name, "app.local", backend.address);
    }
    lb.ready("app.local", 3).await;
    let mut client = lb.client().await;
    let mut counts = std::collections::HashMap::new();
    for _ in 0..300 {
        let answer = client.get("app.local", "/").await;
        assert_eq!(answer.status, 200);
        *counts.entry(answer.body).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|&n| n == 100), "{counts:?}");
    assert!(backends[0].connections() <= 2, "connections are kept: {}", backends[0].connections());
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint() {
    let backends =
        [Backend::hello("a").await, Backend::hello("b").await, Backend::hello("c").await];
    let mut options = Options::default();
    options.algorithm = Algorithm::RingHash;
    options.forwarding.trust = Trust::everybody();
    let lb = Lb::start(options).await;
    for (backend, name) in backends.iter().zip(["a", "b", "c"]) {
        lb.upsert(name, "app.local", backend.address);
    }
    lb.ready("app.local", 3).await;
    let mut client = lb.client().await;
    let mut owners = std::collections::HashSet::new();
    for n in 0..30 {
        let request =
            format!("GET / HTTP/1.1\r\nhost: app.local\r\nx-forwarded-for: 10.0.0.{n}\r\n\r\n");
        let owner = client.raw(&request).await.body;
        for _ in 0..3 {
            assert_eq!(client.raw(&request).await.body, owner, "10.0.0.{n}");
        }
        owners.insert(owner);
    }
    assert_eq!(owners.len(), 3);
}

#[tokio::test]
async fn each_host_has_its_own_service_and_strangers_get_503() {
    let (one, two) = (Backend::hello("one").await, Backend::hello("two").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "one.local", one.address);
    lb.upsert("2", "*.two.local", two.address);
    lb.ready("one.local", 1).await;
    lb.ready("*.two.local", 1).await;
    let mut client = lb.client().await;
    assert_eq!(client.get("one.local", "/").await.body, "one");
    assert_eq!(client.get("ONE.local:8080", "/").await.body, "one");
    assert_eq!(client.get("x.two.local", "/").await.body, "two");
    assert_eq!(client.get("two.local", "/").await.status, 503);
    assert_eq!(client.get("", "/").await.status, 503);
    let answer = client.raw("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn the_default_host_answers_strangers() {
    let backend = Backend::hello("default").await;
    let mut options = Options::default();
    options.default_host = Some("app.local".into());
    let lb = Lb::start(options).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    assert_eq!(lb.client().await.get("stranger", "/").await.body, "default");
}

#[tokio::test]
async fn one_that_does_not_listen_yet_gets_nothing_until_it_does() {
    let (here, late) = (Backend::hello("here").await, Backend::reserved().await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("here", "app.local", here.address);
    lb.upsert("late", "app.local", late.address());
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("app.local", "/").await.body, "here");
    }
    let report = lb.report("app.local");
    let waiting = report.endpoints.iter().find(|endpoint| &*endpoint.name == "late").unwrap();
    assert_eq!(waiting.standing.name(), "connecting");
    assert!(waiting.reasons[0].contains("does not accept connections yet"), "{waiting:?}");

    let _late = late.listen("late").await;
    lb.ready("app.local", 2).await;
    let answers =
        [client.get("app.local", "/").await.body, client.get("app.local", "/").await.body];
    assert!(answers.contains(&"late".to_owned()), "{answers:?}");
}

#[tokio::test]
async fn one_that_is_gone_before_anybody_says_so_costs_nobody_an_answer() {
    let (stays, dies) = (Backend::hello("stays").await, Backend::hello("dies").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", stays.address);
    lb.upsert("2", "app.local", dies.address);
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("app.local", "/").await.status, 200);
    }
    dies.kill().await;
    for _ in 0..20 {
        let answer = client.get("app.local", "/").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "stays"));
    }
    assert_eq!(lb.standing("app.local", "2"), "connecting");
}

#[tokio::test]
async fn a_stale_connection_is_nobodys_fault() {
    // Closes every connection after one answer without announcing it.
    let backend = Backend::raw(|n, _| {
        (n == 0).then(|| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())
    })
    .await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("app.local", "/").await.status, 200);
    }
    assert_eq!(lb.standing("app.local", "1"), "ready");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    // Reads the request and breaks off without an answer.
    let backend = Backend::raw(|_, _| None).await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let post = "POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(client.raw(post).await.status, 502);
    assert_eq!(backend.requests(), 1, "a POST goes out once");
    assert_eq!(client.get("app.local", "/").await.status, 502);
    assert_eq!(backend.requests(), 4, "a GET may be repeated, but not for ever");
}

#[tokio::test]
async fn a_request_that_kills_servers_does_not_go_round_them_all() {
    let mut backends = Vec::new();
    let lb = Lb::start(Options::default()).await;
    for id in ["1", "2", "3", "4", "5", "6"] {
        let backend = Backend::raw(|_, head| {
            (!head.contains("/poison"))
                .then(|| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())
        })
        .await;
        lb.upsert(id, "app.local", backend.address);
        backends.push(backend);
    }
    lb.ready("app.local", 6).await;
    let mut client = lb.client().await;
    for _ in 0..12 {
        assert_eq!(client.get("app.local", "/").await.status, 200);
    }
    assert_eq!(client.get("app.local", "/poison").await.status, 502);
    let sent: usize = backends.iter().map(Backend::requests).sum();
    assert_eq!(sent - 12, 3, "connections that are in the pool make no difference");
}

#[tokio::test]
async fn who_has_asked_before_the_end_is_answered() {
    let backend = Backend::hello("last").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = lb.client().await;
        client.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
        clients.push(client);
    }
    assert_eq!(lb.shutdown(Duration::from_secs(10)).await, 0);
    for mut client in clients {
        assert_eq!(client.receive().await.unwrap().body, "last");
    }
}

#[tokio::test]
async fn a_broken_answer_is_never_a_complete_one() {
    let backend =
        Backend::raw(|_, _| Some("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".into()))
            .await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let error = lb.client().await.try_get("app.local", "/").await.unwrap_err();
    assert!(error.contains("9 of 100"), "{error}");
}

#[tokio::test]
async fn requests_wait_while_nobody_is_ready() {
    let backend = Backend::hello("back").await;
    let lb = Lb::start(Options::default()).await;
    let down = Endpoint::new(support::registration("1", "app.local", backend.address));
    lb.send("1", down.clone().state(State::Down("restarting".into())));
    lb.known("app.local").await;
    let mut client = lb.client().await;
    let waiting = tokio::spawn(async move { client.get("app.local", "/").await });
    lb.waiting(1).await;
    lb.send("1", down.state(State::Active));
    assert_eq!(waiting.await.unwrap().body, "back");
}

#[tokio::test]
async fn the_queue_and_the_wait_have_an_end() {
    let mut options = Options::default();
    options.wait = Duration::from_millis(50);
    options.wait_limit = 0;
    let lb = Lb::start(options.clone()).await;
    lb.upsert("1", "app.local", Backend::reserved().await.address());
    lb.known("app.local").await;
    let full = lb.client().await.get("app.local", "/").await;
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")));
    assert!(full.body.contains("too many requests"), "{}", full.body);

    options.wait_limit = 1;
    let lb = Lb::start(options).await;
    lb.upsert("1", "app.local", Backend::reserved().await.address());
    lb.known("app.local").await;
    let late = lb.client().await.get("app.local", "/").await;
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert!(late.body.contains("no server is ready"), "{}", late.body);
}

#[tokio::test]
async fn an_address_that_changes_hands_takes_no_requests_along() {
    let (first, second) = (Backend::hello("first").await, Backend::hello("second").await);
    let mut options = Options::default();
    options.wait = Duration::from_millis(50);
    let lb = Lb::start(options).await;
    lb.upsert("1", "first.local", first.address);
    lb.ready("first.local", 1).await;
    let mut client = lb.client().await;
    assert_eq!(client.get("first.local", "/").await.body, "first");
    let address = first.address;
    lb.remove("1");
    first.kill().await;
    let heir = second.also_on(address).await;
    lb.upsert("2", "second.local", address);
    lb.ready("second.local", 1).await;
    assert_eq!(client.get("first.local", "/").await.status, 503);
    assert_eq!(client.get("second.local", "/").await.body, "second");
    drop(heir);
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let backend = Backend::slow("slow").await;
    let lb = Lb::start(Options::default()).await;
    let endpoint = Endpoint::new(support::registration("1", "app.local", backend.address));
    lb.send("1", endpoint.clone());
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let answer = tokio::spawn(async move { client.get("app.local", "/").await });
    backend.reached().await;
    lb.send("1", endpoint.state(State::Draining));
    lb.until(|| lb.standing("app.local", "1") == "draining").await;
    backend.release();
    assert_eq!(answer.await.unwrap().body, "slow");
}

#[tokio::test]
async fn shutting_down_finishes_what_is_in_flight() {
    let backend = Backend::slow("slow").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let address = lb.address;
    let answer = tokio::spawn(async move { client.get("app.local", "/").await });
    backend.reached().await;
    let stopped = tokio::spawn(lb.shutdown(Duration::from_secs(30)));
    support::refuses(address).await;
    backend.release();
    let answer = answer.await.unwrap();
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("slow", Some("close")));
    assert_eq!(stopped.await.unwrap(), 0, "nothing was cut off");
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_and_counted() {
    let backend = Backend::slow("never").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let answer = tokio::spawn(async move { client.try_get("app.local", "/").await });
    backend.reached().await;
    assert_eq!(lb.shutdown(Duration::from_millis(20)).await, 1);
    answer.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let backend = Backend::echo_upgrade().await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let head = client
        .raw(
            "GET /chat HTTP/1.1\r\nHost: app.local\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("echo")));
    for word in ["ping", "pong"] {
        assert_eq!(client.exchange(word).await, word);
    }
    assert_eq!(lb.report("app.local").endpoints[0].in_flight, 1, "a tunnel is load");
    drop(client);
    lb.until(|| lb.report("app.local").endpoints[0].in_flight == 0).await;
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_not_passed_on() {
    let backend = Backend::echo_upgrade().await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    assert_eq!(lb.client().await.get("app.local", "/").await.status, 502);
}

#[tokio::test]
async fn bodies_stream_both_ways_unchanged() {
    let backend = Backend::echo().await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let body: String = (0..200_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let post = format!(
        "POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(client.raw(&post).await.body, body);
    let chunked = "POST / HTTP/1.1\r\nHost: app.local\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert_eq!(client.raw(chunked).await.body, "hello world");
}

#[tokio::test]
async fn head_and_connect_are_answered_as_they_should_be() {
    let backend = Backend::hello("hello").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let head = client.head("app.local").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(client.get("app.local", "/").await.body, "hello", "the connection is in step");
    let connect = lb.client().await.raw("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n").await;
    assert_eq!(connect.status, 405);
}

#[tokio::test]
async fn what_is_not_passed_on_is_answered_here() {
    let backend = Backend::hello("hello").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    for (request, status) in [
        ("TRACE / HTTP/1.1\r\nHost: app.local\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: app.local\r\nMax-Forwards: 0\r\n\r\n", 200),
        (
            "POST / HTTP/1.1\r\nHost: app.local\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("GET http://app.local/ HTTP/1.1\r\nHost: other.local\r\n\r\n", 400),
    ] {
        assert_eq!(lb.client().await.raw(request).await.status, status, "{request}");
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn the_log_has_a_line_for_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log =
        lb_core::http::AccessLog::open(lb_core::http::Destination::File(path.clone()), 1).unwrap();
    let mut options = Options::default();
    options.access_log = Some(log.clone());
    let backend = Backend::hello("hello").await;
    let lb = Lb::start(options).await;
    lb.upsert("shop-1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client: Client = lb.client().await;
    client.get("app.local", "/a?b").await;
    client.get("nobody", "/").await;
    drop(client);
    lb.shutdown(Duration::from_secs(5)).await;
    log.flush().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("app.local 127.0.0.1 - - ["), "{text}");
    assert!(lines[0].contains("\"GET /a?b HTTP/1.1\" 200 5 \"-\" \"-\" \"shop-1\" 0."), "{text}");
    assert!(lines[0].ends_with(" 1 -"), "sent once, and not refused: {text}");
    assert!(lines[1].contains("\" 503 "), "{text}");
    assert!(lines[1].ends_with("\"-\" 0.000 0 no_route"), "{text}");
}

#[tokio::test]
async fn who_is_drained_by_command_gets_nothing_new_until_used_again() {
    let (one, two) = (Backend::hello("one").await, Backend::hello("two").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", one.address);
    lb.upsert("2", "app.local", two.address);
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    assert_eq!(lb.controls.drain("1").await.unwrap(), ["1".into()]);
    for _ in 0..10 {
        assert_eq!(client.get("app.local", "/").await.body, "two");
    }
    assert_eq!(lb.standing("app.local", "1"), "draining");
    assert_eq!(lb.report("app.local").endpoints[0].reasons, ["is drained by command"]);
    assert!(lb.controls.drain("3").await.is_err());
    lb.controls.undrain("1").await.unwrap();
    lb.ready("app.local", 2).await;
    let bodies = [client.get("app.local", "/").await.body, client.get("app.local", "/").await.body];
    assert!(bodies.contains(&"one".to_owned()), "{bodies:?}");
}

#[tokio::test]
async fn reloaded_options_count_and_nothing_is_forgotten() {
    let backend = Backend::hello("a").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    assert_eq!(client.get("app.local", "/").await.status, 200);
    assert_eq!(client.get("stranger", "/").await.status, 503);
    let connections = backend.connections();
    let mut options = Options::default();
    options.default_host = Some("app.local".into());
    options.algorithm = Algorithm::LeastRequest;
    lb.controls.reload(options).await;
    assert_eq!(client.get("stranger", "/").await.status, 200);
    assert_eq!(lb.report("app.local").algorithm, Algorithm::LeastRequest);
    assert_eq!(backend.connections(), connections, "the connection is kept");
}
