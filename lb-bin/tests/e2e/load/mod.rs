//! Requests at a constant rate. One that finds all connections waiting for their
//! answers is sent as soon as one of them is free.
//!
//! Each request has its time to be sent, and its answer is measured from then: a
//! balancer that makes its clients wait can't hide that by being asked less. Each
//! has an identity, too: its answer has to carry it, and the journals of the apps
//! tell whether it was executed.

mod echo;
mod exchange;
mod journal;
mod report;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, task::JoinSet, time};

pub(crate) use self::{echo::Echoes, journal::executions, report::Report};
use crate::wait;

/// What takes longer than this is given up. It is longer than requests wait for
/// a replica.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What requests are to be sent, and where.
#[derive(Clone, Debug)]
#[must_use]
pub(crate) struct Plan {
    address: SocketAddr,
    host: String,
    rate: u32,
    connections: usize,
    /// Of the body of a POST; a GET has none.
    body: Option<usize>,
    /// What the query asks of the app.
    query: String,
    /// The address that it comes from, of those of this machine.
    from: Option<IpAddr>,
    /// Who may answer; anybody, if none.
    only: Option<String>,
    /// No load goes on for longer, whatever becomes of who started it.
    limit: Duration,
}

impl Plan {
    /// 400 GETs a second over 16 connections.
    pub(crate) fn new(address: SocketAddr, host: &str) -> Self {
        Self {
            address,
            host: host.to_owned(),
            rate: 400,
            connections: 16,
            body: None,
            query: String::new(),
            from: None,
            only: None,
            limit: Duration::from_secs(300),
        }
    }

    pub(crate) fn rate(self, rate: u32, connections: usize) -> Self {
        Self { rate, connections, ..self }
    }

    /// POSTs with bodies of so many bytes.
    pub(crate) fn posts(self, body: usize) -> Self {
        Self { body: Some(body), ..self }
    }

    /// What the app is asked for, as in `size=1000&chunked`.
    pub(crate) fn query(self, query: &str) -> Self {
        Self { query: format!("&{query}"), ..self }
    }

    /// Connects from this address.
    pub(crate) fn from(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// An answer of anybody else is a failure.
    pub(crate) fn only(self, name: &str) -> Self {
        Self { only: Some(name.to_owned()), ..self }
    }

    pub(crate) fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub(crate) fn start(self) -> Load {
        let shared = Arc::new(Shared {
            run: format!("{:08x}", fastrand::u32(..)),
            period: Duration::from_secs(1) / self.rate,
            plan: self,
            began: Instant::now(),
            tickets: AtomicU32::new(0),
            end: OnceLock::new(),
            report: Mutex::default(),
        });
        let driven = Arc::clone(&shared);
        let thread = thread::spawn(move || drive(&driven));
        Load { shared, thread: Some(thread) }
    }
}

/// Requests for one host, until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// 400 requests a second over 16 connections.
    pub(crate) fn start(address: SocketAddr, host: &str) -> Self {
        Plan::new(address, host).start()
    }

    /// What has come of it so far.
    pub(crate) fn so_far(&self) -> Report {
        self.look(Report::clone)
    }

    /// Lets it go on for so many answers to requests that were due after this.
    #[track_caller]
    pub(crate) fn go_on(&self, answers: u64) {
        self.shared.report.lock().unwrap().count_from(Instant::now());
        self.until("more answers", |report| report.counted() >= answers);
    }

    /// Lets it go on until something is true of what has come of it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        let state = || self.so_far().to_string();
        wait::until(what, state, || self.look(&condition).then_some(()));
    }

    /// Ends it once all requests that were due until now are sent and answered, and
    /// tells the reader what came of it.
    #[track_caller]
    pub(crate) fn stop(mut self, title: &str) -> Report {
        self.shared.end.get_or_init(Instant::now);
        self.thread.take().unwrap().join().unwrap();
        let report = self.so_far();
        println!("  load: {title}: {report}");
        report
    }

    fn look<T>(&self, at: impl FnOnce(&Report) -> T) -> T {
        at(&self.shared.report.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Whatever was due by now: nobody will look.
        self.shared.end.get_or_init(|| self.shared.began);
    }
}

struct Shared {
    plan: Plan,
    /// What the identities of its requests begin with.
    run: String,
    period: Duration,
    began: Instant,
    /// How many requests were given a time to be sent.
    tickets: AtomicU32,
    /// What is due later is not sent.
    end: OnceLock<Instant>,
    report: Mutex<Report>,
}

impl Shared {
    fn id(&self, ticket: u32) -> String {
        format!("{}-{ticket}", self.run)
    }
}

fn drive(shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connections = 0..shared.plan.connections;
        let all: JoinSet<()> = connections.map(|_| connection(Arc::clone(shared))).collect();
        all.join_all().await;
    });
}

/// One connection: sends the next request that is due as soon as it is free.
async fn connection(shared: Arc<Shared>) {
    let mut stream: Option<TcpStream> = None;
    loop {
        let ticket = shared.tickets.fetch_add(1, Ordering::Relaxed);
        let due = shared.began + shared.period * ticket;
        time::sleep_until(due.into()).await;
        let limit = shared.began + shared.plan.limit;
        if due > *shared.end.get().unwrap_or(&limit) {
            return;
        }
        shared.report.lock().unwrap().sent += 1;
        let id = shared.id(ticket);
        let exchange = time::timeout(ANSWER_LIMIT, shared.plan.exchange(&mut stream, &id));
        let outcome = exchange.await.unwrap_or_else(|_| Err("no answer in 20 s".to_owned()));
        if outcome.is_err() {
            stream = None;
        }
        // Only POSTs are looked up.
        let id = shared.plan.body.map(|_| id);
        shared.report.lock().unwrap().take(id, due, outcome);
    }
}
