//! Everybody else: clients that go on asking while others attack.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lb_core::testing::wire::Client;
use tokio::time;

use super::{Finding, millis, scene::request};
use crate::stats::{median, quantile};

/// Asks 200 times a second, until it is dropped.
pub(super) struct Observer {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

/// What was seen in some time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// In milliseconds, from when it should have been sent.
    latencies: Vec<f64>,
    failed: Vec<String>,
}

const CLIENTS: u32 = 10;
/// Of each of them.
const PERIOD: Duration = Duration::from_millis(50);

/// How long one window is.
pub(super) const WINDOW: Duration = Duration::from_secs(5);

impl Observer {
    pub(super) fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let this = Self { seen: Arc::clone(&seen), stop: Arc::clone(&stop) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A thread of its own, so that what the attacker does doesn't show in the times.
        thread::spawn(move || {
            runtime.block_on(async {
                let clients = (0..CLIENTS).map(|number| ask(address, number, &seen, &stop));
                futures_util::future::join_all(clients).await;
            });
        });
        Ok(this)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen since this was last asked for.
    pub(super) fn take(&self) -> Seen {
        mem::take(&mut *self.lock())
    }

    /// What is seen in so many windows from now on.
    pub(super) async fn windows(&self, count: usize) -> Vec<Seen> {
        let mut windows = Vec::new();
        self.take();
        for _ in 0..count {
            time::sleep(WINDOW).await;
            windows.push(self.take());
        }
        windows
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn ask(address: SocketAddr, number: u32, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut client = None;
    let mut tick = time::interval_at(time::Instant::now() + PERIOD * number / CLIENTS, PERIOD);
    while !stop.load(Ordering::Relaxed) {
        let due = tick.tick().await;
        let asked = once(address, &mut client).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(()) => seen.latencies.push(due.elapsed().as_secs_f64() * 1e3),
            Err(error) => {
                client = None;
                seen.failed.push(error.to_string());
            }
        }
    }
}

async fn once(address: SocketAddr, client: &mut Option<Client>) -> anyhow::Result<()> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::connect(address).await?),
    };
    client.send(request("/")).await?;
    let answer = client.answer("GET").await.complete()?;
    anyhow::ensure!(answer.status == 200, "{}", answer.status);
    Ok(())
}

/// Of each window the 99th percentile, and of these the median: a machine that was
/// busy with something else for a moment doesn't decide.
pub(super) fn p99(windows: &[Seen]) -> f64 {
    let each: Vec<_> = windows.iter().map(|seen| quantile(&seen.latencies, 0.99)).collect();
    median(&each)
}

fn p50(windows: &[Seen]) -> f64 {
    let each: Vec<_> = windows.iter().map(|seen| median(&seen.latencies)).collect();
    median(&each)
}

/// What others noticed: nobody's request may fail, and the 99th percentile may be
/// `most`, whose name is given.
pub(super) fn others(idle: &[Seen], during: &[Seen], most: f64, name: &str) -> Vec<Finding> {
    let count: usize = during.iter().map(|seen| seen.latencies.len() + seen.failed.len()).sum();
    let failed: Vec<_> = during.iter().flat_map(|seen| &seen.failed).collect();
    let why = failed.first().map(|why| format!(": {why}")).unwrap_or_default();
    let (before, now) = (p99(idle), p99(during));
    vec![
        Finding::new("others' requests that failed", format!("{} of {count}{why}", failed.len()))
            .bound("0", failed.is_empty() && count > 0),
        Finding::new(
            "others' median, idle and during",
            format!("{}, {}", millis(p50(idle)), millis(p50(during))),
        ),
        Finding::new(
            "others' 99th percentile, idle and during",
            format!("{}, {}", millis(before), millis(now)),
        )
        .bound(name, now <= most),
    ]
}
