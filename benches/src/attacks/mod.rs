//! Attacks on lb-bin, and what they cost it and everybody else.

mod backend;
mod bodies;
mod floods;
mod h2;
mod idle;
mod observer;
pub mod page;
mod resets;
mod scene;
mod slow_reader;
mod slowloris;
mod streams;

use std::time::Duration;

use futures_util::future::BoxFuture;

pub use scene::Setup;

/// One of them.
#[derive(Clone, Copy)]
pub struct Attack {
    /// For `--only`.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is done, in plain words.
    pub words: &'static str,
    /// What lb-bin is started with, besides what all of them are started with.
    pub flags: &'static [&'static str],
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    /// So many connections that send these frames of HTTP/2 without end.
    Flood(usize, Closes, fn() -> Frames),
    /// In its own way.
    Own(for<'a> fn(&'a Setup) -> BoxFuture<'a, anyhow::Result<Vec<Finding>>>),
}

/// Whether a connection that sends them should be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    /// There is nothing wrong with any one of the frames, and no count of them.
    Never,
    /// As soon as it is clear what it is about.
    Soon,
}

/// Appends the next frames, and says how many.
type Frames = Box<dyn FnMut(&mut Vec<u8>) -> u64 + Send>;

/// A figure, and whether it is as it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was measured.
    pub what: String,
    /// How much it is.
    pub measured: String,
    /// How much it may be, if that is bounded, and whether that holds.
    pub bound: Option<(String, bool)>,
}

/// All of them, in the order of the page.
pub const ALL: &[&[Attack]] = &[
    slowloris::ATTACKS,
    bodies::ATTACKS,
    resets::ATTACKS,
    floods::ATTACKS,
    streams::ATTACKS,
    slow_reader::ATTACKS,
    idle::ATTACKS,
];

impl Attack {
    /// Starts lb-bin, attacks it, and measures.
    ///
    /// # Errors
    ///
    /// It can't be done; what it shows is no error.
    pub async fn run(&self, setup: &Setup) -> anyhow::Result<Vec<Finding>> {
        let setup = setup.with_flags(self.flags);
        match self.how {
            How::Flood(connections, closes, make) => {
                floods::run(&setup, connections, closes, make).await
            }
            How::Own(run) => run(&setup).await,
        }
    }

    /// The same in short, and without a clock, for those that are floods: whether who
    /// should be closed is closed, and others are served.
    ///
    /// # Errors
    ///
    /// It is not so.
    pub async fn run_in_short(&self, setup: &Setup) -> anyhow::Result<()> {
        match self.how {
            How::Flood(_, closes, make) => {
                floods::run_in_short(&setup.with_flags(self.flags), closes, make()).await
            }
            How::Own(_) => Ok(()),
        }
    }
}

impl Finding {
    fn new(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), bound: None }
    }

    fn bound(mut self, bound: impl Into<String>, holds: bool) -> Self {
        self.bound = Some((bound.into(), holds));
        self
    }

    /// Whether it is as it should be.
    pub fn holds(&self) -> bool {
        self.bound.as_ref().is_none_or(|(_, holds)| *holds)
    }
}

/// A mebibyte.
const MIB: u64 = 1 << 20;

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB as f64)
}

fn growth(what: &str, bytes: u64, most: u64) -> Finding {
    Finding::new(what, mib(bytes)).bound(format!("≤ {}", mib(most)), bytes <= most)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(millis: f64) -> String {
    format!("{millis:.1} ms")
}
