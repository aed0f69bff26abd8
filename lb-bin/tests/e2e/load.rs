//! Requests at a constant rate, whatever becomes of the answers.
//!
//! Each request has its time to be sent, and its answer is measured from then: a
//! balancer that makes its clients wait can't hide that by being asked less.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use crate::{
    http::{Head, greeter},
    wait,
};

/// What is slower than this, a person feels.
const SLOW: Duration = Duration::from_millis(300);

/// What takes longer than this is given up. It is longer than requests wait for
/// a replica.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// No load goes on for longer, whatever becomes of who started it.
const LIMIT: Duration = Duration::from_secs(90);

/// Requests for one host, until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// 400 requests a second over 16 connections.
    pub(crate) fn start(address: SocketAddr, host: &str) -> Self {
        Self::at(address, host, 400, 16)
    }

    pub(crate) fn at(address: SocketAddr, host: &str, rate: u32, connections: usize) -> Self {
        let shared = Arc::new(Shared {
            address,
            request: format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lb-e2e\r\n\r\n"),
            period: Duration::from_secs(1) / rate,
            began: Instant::now(),
            tickets: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            report: Mutex::default(),
        });
        let driven = Arc::clone(&shared);
        let thread = thread::spawn(move || drive(&driven, connections));
        Self { shared, thread: Some(thread) }
    }

    /// What has come of it so far.
    pub(crate) fn so_far(&self) -> Report {
        self.shared.report.lock().unwrap().clone()
    }

    /// Lets it go on for so many more answers.
    #[track_caller]
    pub(crate) fn go_on(&self, answers: u64) {
        let goal = self.so_far().answered() + answers;
        self.until("more answers", |report| report.answered() >= goal);
    }

    /// Lets it go on until something is true of what has come of it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        let state = || self.so_far().to_string();
        wait::until(what, state, || condition(&self.so_far()).then_some(()));
    }

    /// Ends it once all requests that were sent are answered, and tells the
    /// reader what came of it.
    #[track_caller]
    pub(crate) fn stop(mut self, title: &str) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let report = self.so_far();
        println!("  load: {title}: {report}");
        report
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) ok: u64,
    pub(crate) slow: u64,
    /// Requests that were not answered well, by the reason.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Good answers, by who gave them.
    pub(crate) by: BTreeMap<String, u64>,
    times: Vec<Duration>,
}

impl Report {
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn from(&self, who: &str) -> u64 {
        self.by.get(who).copied().unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn none_failed(&self) {
        assert_eq!(self.failed(), 0, "{self}");
        assert_eq!(self.sent, self.ok, "{self}");
    }

    /// At most so many were slow. The machine itself may stall, so that none is
    /// too much to ask.
    #[track_caller]
    pub(crate) fn slow_at_most(&self, limit: u64) {
        assert!(self.slow <= limit, "more than {limit} slow: {self}");
    }

    fn answered(&self) -> u64 {
        self.ok + self.failed()
    }

    fn take(&mut self, time: Duration, outcome: Result<String, String>) {
        match outcome {
            Ok(who) => {
                self.ok += 1;
                self.slow += u64::from(time > SLOW);
                *self.by.entry(who).or_default() += 1;
            }
            Err(reason) => *self.failures.entry(reason).or_default() += 1,
        }
        self.times.push(time);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, ok, slow, failures, by, times } = self;
        let mut times = times.clone();
        times.sort_unstable();
        let rank = |share: usize| {
            let time = times.get((times.len() * share / 1000).min(times.len().saturating_sub(1)));
            time.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        write!(f, "sent {sent}, ok {ok}, failed {}, slow {slow}", self.failed())?;
        let (median, high, most) = (rank(500), rank(990), rank(1000));
        write!(f, "; ms: median {median:.1}, 99 % {high:.1}, most {most:.1}; by {by:?}")?;
        if failures.is_empty() { Ok(()) } else { write!(f, "; failures {failures:?}") }
    }
}

struct Shared {
    address: SocketAddr,
    request: String,
    period: Duration,
    began: Instant,
    /// How many requests were given a time to be sent.
    tickets: AtomicU32,
    stop: AtomicBool,
    report: Mutex<Report>,
}

fn drive(shared: &Arc<Shared>, connections: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let all: JoinSet<()> = (0..connections).map(|_| connection(Arc::clone(shared))).collect();
        all.join_all().await;
    });
}

/// One connection: sends the next request that is due as soon as it is free.
async fn connection(shared: Arc<Shared>) {
    let mut stream = None;
    loop {
        let due = shared.began + shared.period * shared.tickets.fetch_add(1, Ordering::Relaxed);
        time::sleep_until(due.into()).await;
        if shared.stop.load(Ordering::Relaxed) || shared.began.elapsed() > LIMIT {
            return;
        }
        shared.report.lock().unwrap().sent += 1;
        let exchange = time::timeout(ANSWER_LIMIT, exchange(&mut stream, &shared));
        let outcome = exchange.await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if outcome.is_err() {
            stream = None;
        }
        shared.report.lock().unwrap().take(due.elapsed(), outcome);
    }
}

/// Sends a request and reads its answer: who gave it, or what is wrong with it.
async fn exchange(stream: &mut Option<TcpStream>, shared: &Shared) -> Result<String, String> {
    let failed = |what: &'static str| move |error| format!("{what}: {error}");
    if stream.is_none() {
        let new = TcpStream::connect(shared.address).await.map_err(failed("connect"))?;
        new.set_nodelay(true).map_err(failed("connect"))?;
        *stream = Some(new);
    }
    let open = stream.as_mut().ok_or("not connected")?;
    open.write_all(shared.request.as_bytes()).await.map_err(failed("write"))?;

    let mut read = Vec::with_capacity(512);
    let end = loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if open.read_buf(&mut read).await.map_err(failed("read"))? == 0 {
            return Err(format!("closed after {} bytes of the head", read.len()));
        }
    };
    let text = String::from_utf8_lossy(&read[..end]).into_owned();
    let head = Head::read(&text).ok_or_else(|| format!("no answer: {text}"))?;
    let length = head.length.ok_or("an answer of unknown length")?;
    let body = end + 4;
    while read.len() < body + length {
        if open.read_buf(&mut read).await.map_err(failed("read"))? == 0 {
            return Err(format!("short body: {} of {length} bytes", read.len() - body));
        }
    }
    if head.last {
        *stream = None;
    }
    let body = String::from_utf8_lossy(&read[body..]);
    match greeter(&body) {
        Some(who) if head.status == 200 => Ok(who.to_owned()),
        _ => Err(format!("{}: {}", head.status, body.trim())),
    }
}
