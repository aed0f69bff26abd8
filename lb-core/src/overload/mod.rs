//! What is given up before memory runs out and the kernel ends the process with all
//! that it serves: first requests are refused, then connections.
//!
//! A [`Watch`] looks at the [`Memory`] a few times a second and says by a
//! [`Pressure`] how near the limit it is. Who looks there reads one atomic.

mod cgroup;
mod memory;
mod watermarks;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time;

use watermarks::Watermarks;

pub use memory::Memory;

/// How near its limit memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// All is well.
    #[default]
    Normal,
    /// From 90 % on: requests are refused, until less than 85 % are used.
    High,
    /// From 95 % on: connections are closed as well, and requests broken off whose
    /// bodies are still coming, until less than 92 % are used.
    Critical,
}

/// Tells everybody who has a clone of it how near its limit memory is; nothing is
/// limited until a [`Watch`] is given it.
#[derive(Clone, Debug, Default)]
pub struct Pressure(Arc<State>);

/// Apart from what others write: every request reads it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct State {
    level: AtomicU8,
    used: AtomicU64,
    limit: AtomicU64,
}

impl Pressure {
    /// As of the last look.
    pub fn level(&self) -> Level {
        match self.0.level.load(Ordering::Relaxed) {
            0 => Level::Normal,
            1 => Level::High,
            _ => Level::Critical,
        }
    }

    /// What is used and what may be, in bytes, as of the last look; nothing if there
    /// is no limit.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let limit = self.0.limit.load(Ordering::Relaxed);
        (limit > 0).then(|| (self.0.used.load(Ordering::Relaxed), limit))
    }

    /// There is no limit any more.
    pub fn lift(&self) {
        self.set(Level::Normal, 0, 0);
    }

    fn set(&self, level: Level, used: u64, limit: u64) {
        self.0.level.store(level as u8, Ordering::Relaxed);
        self.0.used.store(used, Ordering::Relaxed);
        self.0.limit.store(limit, Ordering::Relaxed);
    }
}

/// Looks at the memory, and says what it sees.
#[derive(Debug)]
pub struct Watch {
    memory: Memory,
    marks: Watermarks,
    pressure: Pressure,
}

/// How long until the next look, where there is room, and where it gets scarce: what
/// comes between two looks has to fit into what is kept free.
const SELDOM: Duration = Duration::from_millis(250);
const OFTEN: Duration = Duration::from_millis(25);

impl Watch {
    /// Has looked once when it returns. The `limit` is in bytes, and 1 at the least.
    ///
    /// # Errors
    ///
    /// The system doesn't say what is used.
    pub fn new(memory: Memory, limit: u64, pressure: Pressure) -> io::Result<Self> {
        let mut watch = Self { memory, marks: Watermarks::new(limit.max(1)), pressure };
        watch.look()?;
        Ok(watch)
    }

    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            time::sleep(if self.marks.is_near() { OFTEN } else { SELDOM }).await;
            if let Err(error) = self.look() {
                tracing::debug!(%error, "can't tell how much memory is used");
            }
        }
    }

    fn look(&mut self) -> io::Result<()> {
        let used = self.memory.used()?;
        let (before, limit) = (self.marks.level(), self.marks.limit());
        let now = self.marks.update(used, Instant::now());
        self.pressure.set(now, used, limit);
        if now != before {
            let what = match now {
                Level::Normal => "requests are served again",
                Level::High => "requests are refused",
                Level::Critical => "requests and connections are refused",
            };
            tracing::warn!("{what}: {used} of {limit} bytes of memory are used");
        }
        Ok(())
    }
}
