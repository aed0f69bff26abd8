//! What is told of requests that have ended: to the access log, and to who watches.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{path::PathBuf, time::Duration};

use lb_core::http::{AccessLog, Destination, End, Options, Watch};
use tempfile::TempDir;

use super::support::{Backend, Lb};

/// The access log of a test.
struct Log {
    log: AccessLog,
    path: PathBuf,
    _folder: TempDir,
}

impl Log {
    /// One in this format, which `options` are given.
    fn open(format: &str, options: &mut Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(Destination::File(path.clone()), 1).unwrap();
        log.set_format(&format.parse().unwrap());
        options.access_log = Some(log.clone());
        Self { log, path, _folder: folder }
    }

    /// The lines so far, once there are so many.
    async fn lines(&self, lb: &Lb, count: usize) -> Vec<String> {
        let lines = || {
            self.log.flush().unwrap();
            let text = std::fs::read_to_string(&self.path).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        lb.until(|| lines().len() >= count).await;
        lines()
    }
}

/// The only end that is seen, once it is.
async fn end(lb: &Lb, watch: &Watch) -> End {
    let ends = std::cell::RefCell::new(Vec::new());
    lb.until(|| {
        ends.borrow_mut().append(&mut watch.look().ends);
        !ends.borrow().is_empty()
    })
    .await;
    let mut ends = ends.into_inner();
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends.remove(0)
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn what_clients_are_told_to_repeat_later_has_failed() {
    let busy = Backend::raw(|_, head| {
        let status = if head.starts_with("GET /429") { "429 X" } else { "503 X" };
        Some(answer(status, "Retry-After: 1\r\n"))
    })
    .await;
    let mut options = Options::default();
    options.wait = Duration::ZERO;
    let lb = Lb::start(options).await;
    let reserved = Backend::reserved().await;
    lb.upsert("1", "nobody.local", reserved.address());
    lb.upsert("2", "busy.local", busy.address);
    lb.known("nobody.local").await;
    lb.ready("busy.local", 1).await;
    let watch = lb.plane.watch().unwrap();
    for (host, path, status, failed) in [
        ("nobody.local", "/", 503, true),
        ("busy.local", "/", 503, true),
        ("busy.local", "/429", 429, false),
        ("no.route", "/", 503, true),
    ] {
        assert_eq!(lb.client().await.get(host, path).await.status, status, "{host}{path}");
        assert_eq!(end(&lb, &watch).await.failed, failed, "{host}{path}");
    }
}

#[tokio::test]
async fn who_leaves_or_asks_wrongly_is_no_failure() {
    let slow = Backend::slow("slow").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", slow.address);
    lb.ready("app.local", 1).await;
    let watch = lb.plane.watch().unwrap();
    let mut client = lb.client().await;
    client.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
    slow.reached().await;
    drop(client);
    assert!(!end(&lb, &watch).await.failed);
    assert_eq!(lb.client().await.raw("GET / HTTP/1.1\r\n\r\n").await.status, 400);
    assert!(!end(&lb, &watch).await.failed);
}

/// Longer than a connection on this machine takes to be refused.
const OUTAGE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_attempt_ends_when_it_fails_and_waiting_is_no_part_of_it() {
    let mut options = Options::default();
    let log = Log::open(
        "$upstream_status|$upstream_connect_time|$upstream_response_time|$request_time",
        &mut options,
    );
    let lb = Lb::start(options).await;
    let gone = Backend::hello("gone").await;
    lb.upsert("0", "app.local", gone.address);
    lb.ready("app.local", 1).await;
    gone.kill().await;
    let stays = Backend::hello("stays").await;
    let mut client = lb.client().await;
    let request = tokio::spawn(async move {
        let status = client.get("app.local", "/").await.status;
        (status, client)
    });
    lb.waiting(1).await;
    tokio::time::sleep(OUTAGE).await;
    lb.upsert("1", "app.local", stays.address);
    let (status, mut client) = request.await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(client.get("app.local", "/").await.status, 200);
    let lines = log.lines(&lb, 2).await;
    let fields: Vec<_> = lines[0].split('|').collect();
    let [statuses, connects, times, all] = fields[..] else { panic!("{lines:?}") };
    assert_eq!(statuses, "502, 200");
    assert!(connects.starts_with("-, 0."), "{lines:?}");
    let seconds = |text: &str| Duration::from_secs_f64(text.parse().unwrap());
    let (refused, answered) = times.split_once(", ").unwrap();
    assert!(seconds(refused) < OUTAGE && seconds(answered) < OUTAGE, "{lines:?}");
    assert!(seconds(all) >= OUTAGE, "{lines:?}");
    assert!(lines[1].starts_with("200|0.000|"), "a connection that was open: {lines:?}");
}

#[tokio::test]
async fn only_what_is_the_endpoints_doing_is_said_of_it() {
    let mut options = Options::default();
    options.body_limit = Some(10);
    options.wait = Duration::ZERO;
    options.answer_timeout = Duration::from_millis(50);
    let log = Log::open("$status $upstream_status $response_flags", &mut options);
    let lb = Lb::start(options).await;
    // It asks for nothing of the body, so that the attempt goes on while that comes.
    let slow = Backend::slow("slow").await;
    lb.upsert("slow", "slow.local", slow.address);
    let broken = Backend::raw(|_, _| None).await;
    lb.upsert("broken", "broken.local", broken.address);
    let gone = Backend::hello("gone").await;
    lb.upsert("gone", "gone.local", gone.address);
    for host in ["slow.local", "broken.local", "gone.local"] {
        lb.ready(host, 1).await;
    }
    gone.kill().await;
    let chunked = "POST / HTTP/1.1\r\nHost: slow.local\r\nTransfer-Encoding: chunked\r\n\r\n\
                   b\r\nhello world\r\n0\r\n\r\n";
    for (request, line) in [
        (chunked, "413 - body_too_large"),
        ("GET / HTTP/1.1\r\nHost: slow.local\r\n\r\n", "504 504 upstream_timeout"),
        (
            "POST / HTTP/1.1\r\nHost: broken.local\r\nContent-Length: 0\r\n\r\n",
            "502 502 upstream_reset",
        ),
        ("GET / HTTP/1.1\r\nHost: gone.local\r\n\r\n", "503 502 no_endpoint"),
    ] {
        let status: u16 = line[..3].parse().unwrap();
        assert_eq!(lb.client().await.raw(request).await.status, status, "{line}");
        let lines = log.lines(&lb, 1).await;
        assert_eq!(lines.last().unwrap(), line, "{lines:?}");
        std::fs::write(&log.path, "").unwrap();
    }
}

#[tokio::test]
async fn who_is_refused_is_the_one_that_a_trusted_proxy_speaks_for() {
    let mut options = Options::default();
    options.forwarding.trust = "127.0.0.0/8".parse().unwrap();
    let log = Log::open("$status $remote_addr $realip_remote_addr", &mut options);
    let lb = Lb::start(options).await;
    let watch = lb.plane.watch().unwrap();
    let mut client = lb.client().await;
    for (host, status) in [("no.route", 503), ("a b", 400)] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
        assert_eq!(client.raw(&request).await.status, status);
    }
    let lines = log.lines(&lb, 2).await;
    assert_eq!(lines, ["503 203.0.113.9 127.0.0.1", "400 203.0.113.9 127.0.0.1"]);
    let samples = watch.look().samples;
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|sample| sample.client == "203.0.113.9".parse().ok()));
}
