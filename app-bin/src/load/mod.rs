//! `app-bin load`: requests at a steady rate, and what became of them.
//!
//! The load is open: each request has a time at which it is due, whatever becomes of
//! those before it, and its latency counts from then. A server that stalls makes every
//! request late that falls into the stall, and shows so, where a client that waits for
//! an answer before it asks again would have sent, and counted, one.
//!
//! A thread of its own releases requests when they are due, as the timers of the
//! runtime are a millisecond coarse; connections take turns at sending them.

mod args;
mod connection;
mod pace;
mod schedule;
mod screen;
mod summary;
mod tally;
mod target;
mod text;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior};

pub(crate) use self::args::LoadArgs;
use self::connection::{Connection, Failure};
use self::screen::Screen;
use self::tally::Tally;
use self::target::Target;
use crate::signals::{Order, Signals};

/// Requests that are due and that no connection was free for; those beyond fail.
const QUEUE: usize = 100_000;

/// How often progress is told.
const TICK: Duration = Duration::from_secs(1);

/// Sends what is asked for, tells how it goes, and at the end what came of it.
///
/// # Errors
///
/// The options don't make up a request, or nothing listens at the URL.
pub(crate) fn load(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let status = runtime.block_on(run(args));
    // What is unanswered when somebody is in a hurry is not worth waiting for.
    runtime.shutdown_background();
    status
}

async fn run(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install().context("cannot handle signals")?;
    let target = Arc::new(Target::find(args).await?);
    let schedule = args.schedule();
    let tally = Arc::new(std::sync::Mutex::new(Tally::new()?));
    let mut screen = Screen::new(args);

    let began = Instant::now();
    let (sender, queue) = mpsc::channel(QUEUE);
    let pacer = pace::start(schedule, began, sender, Arc::clone(&tally))
        .context("cannot start a thread")?;
    let queue = Arc::new(Mutex::new(queue));
    let mut connections = JoinSet::new();
    for _ in 0..args.connections {
        connections.spawn(send(Arc::clone(&target), Arc::clone(&queue), Arc::clone(&tally)));
    }

    let mut ticks = time::interval_at(time::Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connections.join_next() => {
                if ended.is_none() {
                    break;
                }
            }
            _ = ticks.tick() => {
                let mut tally = tally::lock(&tally);
                tally.tick();
                screen.show(&tally, began.elapsed());
            }
            () = interrupted(&mut signals) => {
                if stopping {
                    break;
                }
                // What is due by now is still sent and answered.
                stopping = true;
                pacer.stop();
            }
        }
    }
    let tally = tally::lock(&tally);
    screen.clear();
    // None, unless somebody was in a hurry.
    let unanswered = pacer.released().saturating_sub(tally.total.ended());
    summary::print(args, &tally, unanswered, began.elapsed());
    let is_well = tally.total.failed() == 0 && unanswered == 0;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One connection: sends the next request that is due as soon as it is free.
async fn send(
    target: Arc<Target>,
    queue: Arc<Mutex<mpsc::Receiver<pace::Due>>>,
    tally: Arc<std::sync::Mutex<Tally>>,
) {
    let mut connection = Connection::default();
    loop {
        // Whoever has waited longest waits with the lock, so they take turns.
        let Some(due) = queue.lock().await.recv().await else { return };
        let outcome = match due.at.checked_add(target.timeout) {
            Some(end) if end > Instant::now() => {
                let request = target.request(due.number);
                within(
                    end,
                    connection.exchange(target.address, request, target.name_header.as_ref()),
                )
                .await
            }
            _ => Err(Failure::NotSent),
        };
        if outcome.is_err() {
            connection = Connection::default();
        }
        tally::lock(&tally).take(due.at.elapsed(), outcome);
    }
}

async fn within<T>(
    end: Instant,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    time::timeout_at(end.into(), exchange).await.unwrap_or(Err(Failure::TimedOut))
}

async fn interrupted(signals: &mut Signals) {
    while signals.next().await == Order::FlipHealth {}
}
