//! What becomes of requests when endpoints fail, hang, leave and come back.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lb_core::{
    Endpoint,
    endpoint::State,
    http::Options,
    registry::{Binding, Protocol},
};
use tokio::{net::TcpStream, task::JoinSet, time};

use crate::support::{Backend, Lb, registration};

const CLIENTS: usize = 16;

/// Clients that ask one after the other until they are dropped, and count the
/// answers by whoever gave them. None may fail.
struct Crowd {
    answers: Arc<AtomicUsize>,
    of_moody: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Crowd {
    async fn ask(lb: &Lb, host: &'static str) -> Self {
        let (answers, of_moody) = (Arc::default(), Arc::default());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let mut client = lb.client().await;
            let (answers, of_moody): (Arc<AtomicUsize>, Arc<AtomicUsize>) =
                (Arc::clone(&answers), Arc::clone(&of_moody));
            clients.spawn(async move {
                loop {
                    let answer = client.get(host, "/").await;
                    assert_eq!(answer.status, 200);
                    answers.fetch_add(1, Ordering::SeqCst);
                    of_moody.fetch_add(usize::from(answer.body == "moody"), Ordering::SeqCst);
                }
            });
        }
        Self { answers, of_moody, clients }
    }

    fn answers(&self) -> usize {
        self.answers.load(Ordering::SeqCst)
    }

    /// Ends it, and with it the test if any of its requests has failed.
    async fn end(mut self) {
        self.clients.abort_all();
        while let Some(ended) = self.clients.join_next().await {
            assert!(ended.is_err_and(|error| error.is_cancelled()));
        }
    }
}

#[tokio::test]
async fn one_that_hangs_is_left_alone_and_what_it_had_goes_elsewhere() {
    let hangs = Arc::new(AtomicBool::new(false));
    let moody = Backend::moody("moody", &hangs).await;
    let others = [Backend::hello("a").await, Backend::hello("b").await];
    let lb = Lb::start(Options::default()).await;
    for (id, address) in [("0", moody.address), ("1", others[0].address), ("2", others[1].address)]
    {
        lb.upsert(id, "app.local", address);
    }
    lb.ready("app.local", 3).await;
    let crowd = Crowd::ask(&lb, "app.local").await;
    lb.until(|| crowd.answers() > 300).await;

    hangs.store(true, Ordering::SeqCst);
    let before = moody.requests();
    lb.until(|| lb.standing("app.local", "0") == "ejected").await;
    let reasons = lb.report("app.local").endpoints[0].reasons.clone();
    assert!(reasons[0].contains("it hangs"), "{reasons:?}");
    let asked = crowd.answers();
    lb.until(|| crowd.answers() > asked + 300).await;
    let vain = moody.requests() - before;
    // Each client once, and a trial or two.
    assert!(vain <= CLIENTS + 2, "{vain} requests for {CLIENTS} clients");

    // It is tried, and used again once it answers.
    hangs.store(false, Ordering::SeqCst);
    lb.until(|| lb.standing("app.local", "0") == "ready").await;
    let of_moody = crowd.of_moody.load(Ordering::SeqCst);
    lb.until(|| crowd.of_moody.load(Ordering::SeqCst) > of_moody + 100).await;
    crowd.end().await;
}

#[tokio::test]
async fn when_all_clients_are_stuck_with_one_they_are_freed_once_there_is_another() {
    let hangs = Arc::new(AtomicBool::new(false));
    let moody = Backend::moody("moody", &hangs).await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", moody.address);
    lb.ready("app.local", 1).await;
    let crowd = Crowd::ask(&lb, "app.local").await;
    lb.until(|| crowd.answers() > 300).await;
    hangs.store(true, Ordering::SeqCst);
    lb.until(|| lb.report("app.local").endpoints[0].in_flight == CLIENTS).await;
    let stuck = crowd.answers();
    let other = Backend::hello("other").await;
    lb.upsert("1", "app.local", other.address);
    lb.until(|| lb.standing("app.local", "0") == "ejected").await;
    lb.until(|| crowd.answers() > stuck + 300).await;
    crowd.end().await;
}

#[tokio::test]
async fn what_may_have_been_done_waits_for_the_one_that_hangs() {
    let hangs = Arc::new(AtomicBool::new(true));
    let moody = Backend::moody("moody", &hangs).await;
    let other = Backend::hello("other").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", moody.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    client.post("POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: 2\r\n\r\nhi").await;
    moody.reached().await;
    // Nor is it given up if too much of it has gone to be sent again.
    let (mut long, length) = (lb.client().await, 100_000);
    long.post(&format!("PUT / HTTP/1.1\r\nHost: app.local\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    long.post(&"x".repeat(length)).await;
    moody.reached().await;
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    let crowd = Crowd::ask(&lb, "app.local").await;
    lb.until(|| lb.standing("app.local", "0") == "ejected").await;
    let asked = crowd.answers();
    lb.until(|| crowd.answers() > asked + 100).await;
    moody.release();
    for waited in [&mut client, &mut long] {
        let answer = waited.receive().await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "moody"));
    }
    lb.until(|| lb.standing("app.local", "0") == "ready").await;
    crowd.end().await;
}

#[tokio::test]
async fn one_that_fails_among_others_is_left_alone() {
    let sick = Backend::raw(|_, _| {
        Some("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick".into())
    })
    .await;
    let others = [Backend::hello("a").await, Backend::hello("b").await];
    let lb = Lb::start(Options::default()).await;
    for (id, address) in [("0", sick.address), ("1", others[0].address), ("2", others[1].address)] {
        lb.upsert(id, "app.local", address);
    }
    lb.ready("app.local", 3).await;
    let mut client = lb.client().await;
    let mut failed = 0;
    while lb.standing("app.local", "0") != "ejected" {
        failed += usize::from(client.get("app.local", "/").await.status == 500);
        assert!(failed < 100, "never ejected");
    }
    assert!(failed >= 5, "five in a row are needed");
    for _ in 0..30 {
        assert_eq!(client.get("app.local", "/").await.status, 200);
    }
}

#[tokio::test]
async fn ejection_can_be_turned_off_while_it_is_in_force() {
    let sick = Backend::raw(|_, _| {
        Some("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick".into())
    })
    .await;
    let other = Backend::hello("other").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", sick.address);
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    while lb.standing("app.local", "0") != "ejected" {
        client.get("app.local", "/").await;
    }
    let mut options = Options::default();
    options.eject = false;
    lb.controls.reload(options).await;
    lb.ready("app.local", 2).await;
    for _ in 0..20 {
        let statuses =
            [client.get("app.local", "/").await.status, client.get("app.local", "/").await.status];
        assert!(statuses.contains(&200) && statuses.contains(&500), "{statuses:?}");
    }
    lb.controls.reload(Options::default()).await;
    while lb.standing("app.local", "0") != "ejected" {
        client.get("app.local", "/").await;
    }
}

#[tokio::test]
async fn too_many_requests_of_one_client_eject_nobody() {
    let strict = Backend::raw(|_, _| {
        let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n";
        Some(head.into())
    })
    .await;
    let other = Backend::hello("other").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", strict.address);
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(client.get("app.local", "/").await.status);
    }
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 20);
}

#[tokio::test]
async fn who_is_left_alone_for_one_host_is_better_than_nobody_for_another() {
    let sick = Backend::raw(|_, _| {
        Some("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick".into())
    })
    .await;
    let other = Backend::hello("other").await;
    let lb = Lb::start(Options::default()).await;
    let mut both = registration("0", "app.local", sick.address);
    both.bindings.push(Binding::new("www.local".parse().unwrap(), Some(sick.address)));
    lb.send("0", Endpoint::new(both));
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    while lb.standing("app.local", "0") != "ejected" {
        client.get("app.local", "/").await;
    }
    assert_eq!(client.get("www.local", "/").await.status, 500);
}

#[tokio::test]
async fn who_waits_for_a_host_that_is_forgotten_gets_whoever_answers_for_it() {
    let (old, any) = (Backend::hello("old").await, Backend::hello("any").await);
    let mut options = Options::default();
    options.wait = Duration::from_millis(300);
    let lb = Lb::start(options).await;
    lb.upsert("old", "app.local", old.address);
    lb.ready("app.local", 1).await;
    lb.remove("old");
    lb.until(|| lb.report("app.local").endpoints.is_empty()).await;
    let mut client = lb.client().await;
    let waiting = tokio::spawn(async move { client.get("app.local", "/").await });
    lb.waiting(1).await;
    lb.upsert("any", "*.local", any.address);
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "any"));
}

#[tokio::test]
async fn a_body_that_was_kept_is_sent_again_and_a_longer_one_is_not() {
    let breaks = Backend::raw(|_, _| None).await;
    let echo = Backend::echo().await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", breaks.address);
    lb.ready("app.local", 1).await;
    lb.upsert("1", "app.local", echo.address);
    lb.ready("app.local", 2).await;
    let put = |body: &str| {
        let length = body.len();
        format!("PUT / HTTP/1.1\r\nHost: app.local\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let (kept, long) = ("k".repeat(64 << 10), "l".repeat((64 << 10) + 1));
    let mut client = lb.client().await;
    for _ in 0..4 {
        assert_eq!(client.raw(&put(&kept)).await.body, kept);
    }
    assert!(breaks.requests() >= 1, "it was tried first");
    let statuses =
        [lb.client().await.raw(&put(&long)).await, lb.client().await.raw(&put(&long)).await]
            .map(|answer| answer.status);
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    let chunked = "PUT / HTTP/1.1\r\nHost: app.local\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    let mut client = lb.client().await;
    for _ in 0..2 {
        assert_eq!(client.raw(chunked).await.body, "hello world");
    }
}

#[tokio::test]
async fn without_a_budget_nothing_is_sent_twice() {
    let breaks = Backend::raw(|_, _| None).await;
    let mut options = Options::default();
    (options.retry_share, options.retries_per_second) = (0.0, 0.0);
    let lb = Lb::start(options).await;
    lb.upsert("0", "app.local", breaks.address);
    lb.ready("app.local", 1).await;
    assert_eq!(lb.client().await.get("app.local", "/").await.status, 502);
    assert_eq!(breaks.requests(), 1);
}

#[tokio::test]
async fn a_request_goes_past_all_who_break_off_because_they_were_told_to_leave() {
    let lb = Lb::start(Options::default()).await;
    let mut leavers = Vec::new();
    for id in ["1", "2", "3", "4", "5"] {
        // Its end is told a moment after it has broken off.
        let (changes, address) = (lb.changes.clone(), Arc::new(OnceLock::new()));
        let told = Arc::clone(&address);
        let leaver = Backend::raw(move |_, _| {
            let endpoint = Endpoint::new(registration(id, "app.local", *told.get().unwrap()));
            changes.upsert(id, endpoint.state(State::Draining)).unwrap();
            None
        })
        .await;
        address.set(leaver.address).unwrap();
        lb.upsert(id, "app.local", leaver.address);
        leavers.push(leaver);
    }
    lb.ready("app.local", 5).await;
    let stays = Backend::hello("stays").await;
    let late = lb.changes.clone();
    let mut client = lb.client().await;
    let waiting = tokio::spawn(async move { client.get("app.local", "/").await });
    for leaver in &leavers {
        leaver.reached().await;
    }
    late.upsert("6", Endpoint::new(registration("6", "app.local", stays.address))).unwrap();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "stays"));
}

#[tokio::test]
async fn requests_wait_for_a_host_whose_last_endpoint_is_made_anew() {
    let (old, new) = (Backend::hello("old").await, Backend::hello("new").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("old", "app.local", old.address);
    lb.upsert("any", "*.local", old.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    assert_eq!(client.get("app.local", "/").await.body, "old");
    lb.remove("old");
    lb.until(|| lb.report("app.local").endpoints.is_empty()).await;
    let waiting = tokio::spawn(async move { client.get("app.local", "/").await });
    lb.waiting(1).await;
    lb.upsert("new", "app.local", new.address);
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "new"));
}

#[tokio::test]
async fn what_waits_for_one_that_has_ended_goes_elsewhere() {
    let (slow, other) = (Backend::slow("slow").await, Backend::hello("other").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", slow.address);
    lb.ready("app.local", 1).await;
    let (mut get, mut post) = (lb.client().await, lb.client().await);
    get.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
    slow.reached().await;
    post.post("POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: 2\r\n\r\nhi").await;
    slow.reached().await;
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    // As a container is told that has exited, or lost its network.
    let mut ended = registration("0", "app.local", slow.address);
    ended.bindings[0].address = None;
    lb.send("0", Endpoint::new(ended).state(State::Down("exited".into())));
    assert_eq!(get.receive().await.unwrap().body, "other");
    assert_eq!(post.receive().await.unwrap().status, 502, "it may have been done");
    assert_eq!((slow.requests(), other.requests()), (2, 1));
}

#[tokio::test]
async fn one_that_is_spoken_to_in_another_way_finishes_what_it_has() {
    let (stays, ends) = (Backend::slow("stays").await, Backend::slow("ends").await);
    let lb = Lb::start(Options::default()).await;
    for (id, host, backend) in [("0", "a.local", &stays), ("1", "b.local", &ends)] {
        lb.upsert(id, host, backend.address);
        lb.ready(host, 1).await;
    }
    let (mut of_stays, mut of_ends) = (lb.client().await, lb.client().await);
    of_stays.post("POST / HTTP/1.1\r\nHost: a.local\r\nContent-Length: 2\r\n\r\nhi").await;
    stays.reached().await;
    of_ends.post("POST / HTTP/1.1\r\nHost: b.local\r\nContent-Length: 2\r\n\r\nhi").await;
    ends.reached().await;
    let mut other = registration("0", "a.local", stays.address);
    other.bindings[0].protocol = Protocol::Http2;
    lb.send("0", Endpoint::new(other));
    let mut ended = registration("1", "b.local", ends.address);
    ended.bindings[0].address = None;
    lb.send("1", Endpoint::new(ended).state(State::Down("exited".into())));
    // Who has ended is not waited for any more, and would not have been before.
    assert_eq!(of_ends.receive().await.unwrap().status, 502);
    stays.release();
    assert_eq!(of_stays.receive().await.unwrap().body, "stays");
}

#[tokio::test]
async fn what_a_paused_one_had_goes_elsewhere_once_there_is_somebody() {
    let hangs = Arc::new(AtomicBool::new(true));
    let paused = Backend::moody("paused", &hangs).await;
    let other = Backend::hello("other").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", paused.address);
    lb.ready("app.local", 1).await;
    let (mut get, mut post) = (lb.client().await, lb.client().await);
    get.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
    paused.reached().await;
    post.post("POST / HTTP/1.1\r\nHost: app.local\r\nContent-Length: 2\r\n\r\nhi").await;
    paused.reached().await;
    let endpoint = Endpoint::new(registration("0", "app.local", paused.address));
    lb.send("0", endpoint.state(State::Down("paused".into())));
    lb.upsert("1", "app.local", other.address);
    assert_eq!(get.receive().await.unwrap().body, "other");
    paused.release();
    assert_eq!(post.receive().await.unwrap().body, "paused", "it may have been done");
    assert_eq!(other.requests(), 1);
}

#[tokio::test]
async fn who_is_no_longer_wanted_finishes_what_it_has() {
    let (slow, other) = (Backend::slow("slow").await, Backend::hello("other").await);
    let lb = Lb::start(Options::default()).await;
    lb.upsert("0", "app.local", slow.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    client.post("GET / HTTP/1.1\r\nHost: app.local\r\n\r\n").await;
    slow.reached().await;
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    lb.remove("0");
    lb.ready("app.local", 1).await;
    // Longer than the last words of who has ended may take.
    time::sleep(Duration::from_millis(1_200)).await;
    slow.release();
    assert_eq!(client.receive().await.unwrap().body, "slow");
}

#[tokio::test]
async fn a_connect_under_way_is_dropped_when_the_endpoint_leaves() {
    let mut options = Options::default();
    options.connect_timeout = Duration::from_secs(3600);
    let lb = Lb::start(options).await;
    let (full, address) = full().await;
    lb.upsert("0", "app.local", address);
    lb.ready("app.local", 1).await;
    let crowd = crowd(address).await;
    let mut client = lb.client().await;
    let waiting = tokio::spawn(async move { client.get("app.local", "/").await });
    lb.until(|| lb.report("app.local").endpoints[0].in_flight == 1).await;
    let other = Backend::hello("other").await;
    lb.upsert("1", "app.local", other.address);
    lb.ready("app.local", 2).await;
    lb.remove("0");
    assert_eq!(waiting.await.unwrap().body, "other");
    drop((full, crowd));
}

/// A listener that never accepts, and has room for few.
async fn full() -> (std::net::TcpListener, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(4).unwrap().into_std().unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// So many connections that the next one hangs.
async fn crowd(address: SocketAddr) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    while let Ok(stream) =
        time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        crowd.push(stream.unwrap());
    }
    crowd
}
