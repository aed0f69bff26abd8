//! Which requests are traced, what is told of them, and what endpoints are told.

use std::sync::{Arc, Mutex};

use lb_core::http::{Attempt, Options, Sink, Trace, Traces};

use super::support::{Backend, Lb};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Trace>>>);

impl Sink for Kept {
    fn take(&self, _: usize, trace: Trace) {
        self.0.lock().unwrap().push(trace);
    }
}

impl Kept {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The only one there is, once it is there.
    async fn one(&self, lb: &Lb) -> Trace {
        lb.until(|| self.count() > 0).await;
        let mut kept = self.0.lock().unwrap();
        assert_eq!(kept.len(), 1, "{kept:#?}");
        kept.remove(0)
    }
}

fn tracing(share: f64, trust: &str) -> (Options, Kept) {
    let kept = Kept::default();
    let mut options = Options::default();
    options.traces = Some(Traces::new(share, kept.clone()));
    options.forwarding.trust = trust.parse().unwrap();
    (options, kept)
}

/// Answers with the head that it got.
async fn mirror() -> Backend {
    Backend::raw(|_, head| Some(answer(200, head))).await
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn serving(options: Options, backends: &[&Backend]) -> Lb {
    let lb = Lb::start(options).await;
    for (at, backend) in backends.iter().enumerate() {
        lb.upsert(&format!("app-{at}"), "app.local", backend.address);
    }
    lb.ready("app.local", backends.len()).await;
    lb
}

fn get(more: &str) -> String {
    format!("GET /a/b?secret=1 HTTP/1.1\r\nHost: app.local:81\r\n{more}\r\n")
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-b7ad6b7169203331-{flags}\r\n")
}

/// What an endpoint was told, from the head that it has sent back.
fn told<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_default()
}

#[tokio::test]
async fn one_that_is_believed_says_whether_it_is_traced() {
    let (options, kept) = tracing(0.0, "true");
    let backend = mirror().await;
    let lb = serving(options, &[&backend]).await;
    let mut client = lb.client().await;
    for quiet in [get(""), get(&traceparent("00"))] {
        let head = client.raw(&quiet).await.body;
        assert!(told(&head, "traceparent").ends_with("-00"), "{head}");
    }
    assert_eq!(kept.count(), 0);

    let more = "tracestate: a=1\r\ntracestate: b=2\r\nUser-Agent: me\r\n\
                X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.local\r\n";
    let head = client.raw(&get(&format!("{}{more}", traceparent("01")))).await.body;
    let trace = kept.one(&lb).await;
    assert_eq!(format!("{:032x}", trace.id), TRACE);
    assert_eq!((trace.parent, trace.flags), (Some(0xb7ad_6b71_6920_3331), 1));
    assert_eq!(trace.state.as_deref(), Some("a=1,b=2"));
    assert_eq!((&*trace.path, trace.scheme), ("/a/b", "https"));
    assert_eq!(trace.host.as_deref(), Some("shop.local"));
    assert_eq!(trace.user_agent.as_deref(), Some("me"));
    assert_eq!(trace.service.as_deref(), Some("app.local"));
    assert_eq!((trace.status.unwrap().as_u16(), trace.reason, trace.is_whole), (200, None, true));
    assert_eq!(trace.peer, Some(client.address()));
    let [attempt] = &trace.attempts[..] else { panic!("{trace:#?}") };
    assert_eq!((attempt.address, &*attempt.name), (backend.address, "app-0"));
    assert_eq!((attempt.status.unwrap().as_u16(), attempt.error), (200, None));
    assert!(attempt.first_byte <= Some(attempt.took) && attempt.took <= trace.took);
    assert_ne!(attempt.span, trace.span);
    let parent = format!("00-{TRACE}-{:016x}-01", attempt.span);
    assert_eq!(told(&head, "traceparent"), parent);
    assert!(head.contains("tracestate: a=1\r\ntracestate: b=2\r\n"), "{head}");
}

#[tokio::test]
async fn others_are_traced_by_chance_and_named_as_they_ask() {
    let (options, kept) = tracing(0.0, "false");
    let traces = options.traces.clone().unwrap();
    let backend = mirror().await;
    let lb = serving(options, &[&backend]).await;
    let mut client = lb.client().await;
    let head = client.raw(&get(&traceparent("01"))).await.body;
    let parent = told(&head, "traceparent");
    assert!(parent.contains(TRACE) && parent.ends_with("-00"), "{head}");
    assert!(!parent.contains("b7ad6b7169203331"), "whom nobody has written down: {head}");
    assert_eq!(kept.count(), 0);

    traces.set_share(1.0);
    let head = client.raw(&get(&traceparent("00"))).await.body;
    let trace = kept.one(&lb).await;
    assert_eq!(format!("{:032x}", trace.id), TRACE);
    assert!(told(&head, "traceparent").ends_with("-01"), "{head}");

    let head = client.raw(&get("tracestate: a=1\r\n")).await.body;
    let trace = kept.one(&lb).await;
    let id = format!("{:032x}", trace.id);
    assert_eq!((trace.parent, trace.state), (None, None));
    assert_eq!(told(&head, "x-request-id"), id, "either leads to the other");
    assert_eq!(told(&head, "tracestate"), "", "it is of another trace");
    assert!(told(&head, "traceparent").contains(&id), "{head}");
}

#[tokio::test]
async fn each_attempt_is_told_of() {
    let (options, kept) = tracing(1.0, "false");
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&heads);
    // Breaks off at first.
    let backend = Backend::raw(move |_, head| {
        let mut heads = noted.lock().unwrap();
        heads.push(head.to_owned());
        (heads.len() > 2).then(|| answer(418, "teapot"))
    })
    .await;
    let lb = serving(options, &[&backend]).await;
    assert_eq!(lb.client().await.get("app.local", "/").await.status, 418);
    let trace = kept.one(&lb).await;
    let became = |attempt: &Attempt| (attempt.error, attempt.status.map(|code| code.as_u16()));
    let became: Vec<_> = trace.attempts.iter().map(became).collect();
    assert_eq!(became, [(Some("reset"), None), (Some("reset"), None), (None, Some(418))]);
    let heads = heads.lock().unwrap();
    for (attempt, head) in trace.attempts.iter().zip(&*heads) {
        let parent = format!("00-{:032x}-{:016x}-01", trace.id, attempt.span);
        assert_eq!(told(head, "traceparent"), parent);
        assert!(attempt.connect.is_some(), "{attempt:?}");
    }
    assert_eq!(heads.len(), 3);
    assert!(trace.attempts.is_sorted_by_key(|attempt| attempt.started));
    assert!(trace.is_whole && trace.reason.is_none(), "{trace:?}");
}

#[tokio::test]
async fn who_refuses_connections_is_an_attempt_too() {
    let (options, kept) = tracing(1.0, "false");
    let gone = mirror().await;
    let lb = serving(options, &[&gone]).await;
    let (stays, address) = (mirror().await, gone.address);
    // Nobody says so, and it has been found ready.
    gone.kill().await;
    let mut client = lb.client().await;
    let request = tokio::spawn(async move { client.get("app.local", "/").await.status });
    lb.until(|| lb.standing("app.local", "app-0") == "connecting").await;
    lb.upsert("app-1", "app.local", stays.address);
    assert_eq!(request.await.unwrap(), 200);
    let trace = kept.one(&lb).await;
    let last = trace.attempts.last().unwrap();
    assert_eq!((last.address, last.error), (stays.address, None));
    let failed = &trace.attempts[..trace.attempts.len() - 1];
    let refused = |one: &Attempt| (one.address, one.error) == (address, Some("connect_refused"));
    assert!(!failed.is_empty() && failed.iter().all(refused), "{trace:#?}");
    assert!(failed.iter().all(|one| one.connect.is_none()), "none was opened: {trace:#?}");
}

#[tokio::test]
async fn what_has_no_whole_answer_of_an_endpoint_says_why() {
    let (options, kept) = tracing(1.0, "false");
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let broken = Backend::raw(|_, _| Some(half.into())).await;
    let lb = serving(options, &[&broken]).await;
    assert_eq!(lb.client().await.get("nobody", "/").await.status, 503);
    let trace = kept.one(&lb).await;
    assert_eq!((trace.service, trace.attempts.len()), (None, 0));
    assert_eq!((trace.reason, trace.is_whole), (Some("no_route"), true));

    lb.client().await.try_get("app.local", "/").await.unwrap_err();
    let trace = kept.one(&lb).await;
    assert_eq!(trace.status.unwrap().as_u16(), 200);
    assert_eq!((trace.reason, trace.is_whole), (Some("upstream_reset"), false));
    assert_eq!(trace.attempts[0].error, Some("upstream_reset"));

    let slow = Backend::slow("slow").await;
    lb.upsert("slow", "slow.local", slow.address);
    lb.ready("slow.local", 1).await;
    let mut client = lb.client().await;
    client.post("GET / HTTP/1.1\r\nHost: slow.local\r\n\r\n").await;
    slow.reached().await;
    drop(client);
    let trace = kept.one(&lb).await;
    assert_eq!((trace.status, trace.reason), (None, Some("client_left")));
    assert_eq!(trace.attempts[0].error, Some("client_left"));
}

#[tokio::test]
async fn a_tunnel_is_traced_to_its_end() {
    let (options, kept) = tracing(1.0, "false");
    let backend = Backend::echo_upgrade().await;
    let lb = serving(options, &[&backend]).await;
    let mut client = lb.client().await;
    let upgrade = get("Connection: upgrade\r\nUpgrade: echo\r\n");
    assert_eq!(client.raw(&upgrade).await.status, 101);
    assert_eq!(client.exchange("ping").await, "ping");
    assert_eq!(kept.count(), 0, "it goes on");
    drop(client);
    let trace = kept.one(&lb).await;
    assert_eq!((trace.status.unwrap().as_u16(), trace.is_whole), (101, true));
    assert_eq!((trace.reason, trace.attempts[0].error), (None, None));
}

#[tokio::test]
async fn what_is_long_is_cut_off_and_what_is_secret_left_out() {
    let (options, kept) = tracing(1.0, "false");
    let backend = mirror().await;
    let lb = serving(options, &[&backend]).await;
    let (path, agent) = (format!("/{}", "%C3%A9".repeat(500)), "\u{e9}".repeat(1000));
    let request = format!(
        "GET http://app.local{path}?token=x HTTP/1.1\r\nHost: app.local\r\nUser-Agent: {agent}\r\n\r\n"
    );
    assert_eq!(lb.client().await.raw(&request).await.status, 200);
    let trace = kept.one(&lb).await;
    assert_eq!((trace.path.len(), trace.user_agent.unwrap().len()), (1024, 1024));
    assert!(path.starts_with(&*trace.path));
    assert_eq!(trace.host.as_deref(), Some("app.local"));
}

#[tokio::test]
async fn what_clients_make_up_has_no_more_room_than_it_needs() {
    let (options, kept) = tracing(1.0, "true");
    let backend = mirror().await;
    let lb = serving(options, &[&backend]).await;
    let method = "M".repeat(20_000);
    let state = format!("tracestate: a={}\r\n", "1".repeat(500)).repeat(30);
    let request =
        format!("{method} / HTTP/1.1\r\nHost: app.local\r\n{}{state}\r\n", traceparent("01"));
    let head = lb.client().await.raw(&request).await.body;
    assert!(head.starts_with(&method) && head.contains(&state), "all of it is passed on");
    let trace = kept.one(&lb).await;
    assert!(method.starts_with(trace.method.as_str()) && trace.method.as_str().len() < 100);
    // Two entries and the comma between them.
    assert_eq!(trace.state.map(|state| state.len()), Some(502 + 1 + 502));
}

#[tokio::test]
async fn a_password_in_a_host_is_nowhere_in_a_trace() {
    let (options, kept) = tracing(1.0, "false");
    let lb = Lb::start(options).await;
    for request in [
        "GET http://user:secret@app.local/ HTTP/1.1\r\nHost: user:secret@app.local\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user:secret@app.local\r\n\r\n",
    ] {
        assert_eq!(lb.client().await.raw(request).await.status, 400);
        let trace = kept.one(&lb).await;
        assert_eq!(trace.host.as_deref(), Some("app.local"));
        assert!(!format!("{trace:?}").contains("secret"), "{trace:?}");
    }
}

#[tokio::test]
async fn who_is_refused_is_the_one_that_a_trusted_proxy_speaks_for() {
    let (options, kept) = tracing(1.0, "127.0.0.0/8");
    let lb = Lb::start(options).await;
    let request = "GET / HTTP/1.1\r\nHost: a b\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
    assert_eq!(lb.client().await.raw(request).await.status, 400);
    assert_eq!(kept.one(&lb).await.client, "203.0.113.9".parse().ok());
}
