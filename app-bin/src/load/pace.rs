//! The thread that releases requests when they are due.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::connection::Failure;
use super::schedule::Schedule;
use super::tally::{self, Tally};

/// Longest time until it notices that it is to stop.
const NAP: Duration = Duration::from_millis(50);

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Counted from the first one.
    pub(crate) number: u64,
    pub(crate) at: Instant,
}

/// The thread at work.
#[derive(Debug)]
pub(crate) struct Pacer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Requests that have been due.
    released: AtomicU64,
}

impl Pacer {
    /// Releases no more.
    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    /// How many requests have been due so far.
    pub(crate) fn released(&self) -> u64 {
        self.0.released.load(Ordering::Relaxed)
    }
}

/// Starts it. The queue is closed when everything has been due; what doesn't fit into
/// it has failed.
pub(crate) fn start(
    schedule: Schedule,
    began: Instant,
    queue: mpsc::Sender<Due>,
    tally: Arc<Mutex<Tally>>,
) -> io::Result<Pacer> {
    let shared = Arc::<Shared>::default();
    let pacer = Pacer(Arc::clone(&shared));
    let run = move || {
        let all = (0..).map_while(|number| Some((number, schedule.due(number)?)));
        for (number, after) in all {
            let at = began + after;
            while let Some(left) = at.checked_duration_since(Instant::now())
                && !shared.stop.load(Ordering::Relaxed)
            {
                thread::sleep(left.min(NAP));
            }
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            shared.released.fetch_add(1, Ordering::Relaxed);
            if queue.try_send(Due { number, at }).is_err() {
                tally::lock(&tally).take(Duration::ZERO, Err(Failure::NotSent));
            }
        }
    };
    thread::Builder::new().name("pace".into()).spawn(run)?;
    Ok(pacer)
}
