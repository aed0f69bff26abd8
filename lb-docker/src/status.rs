use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How discovery is doing: for readiness, and for who asks why nothing changes.
///
/// It is cheap to clone and can be read at any time.
#[derive(Clone, Debug)]
pub struct Status {
    started: Instant,
    report: Arc<Mutex<Report>>,
}

/// What a [`Status`] says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether the engine answers. While it doesn't, the last known set stays
    /// in force.
    pub connected: bool,
    /// Whether the complete set was given out once.
    pub synced: bool,
    /// When the engine was last heard of.
    pub last_contact: Option<Instant>,
    /// The engine that answers or did last.
    pub version: Option<Version>,
    /// What went wrong last, with the remedy; `None` while all is well.
    pub last_error: Option<String>,
    /// How many containers are known, routed or not.
    pub containers: usize,
    /// How many inspections were asked for since the start.
    pub inspects: u64,
}

/// An engine and how one speaks with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it calls itself: `Docker/28.2.2`.
    pub engine: String,
    /// The version of the API that both agree on: `1.50`.
    pub api: String,
}

impl Status {
    /// All of it, as it is now.
    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    /// The time since the engine was last heard of, or since the start.
    pub fn since_contact(&self) -> Duration {
        self.lock().last_contact.unwrap_or(self.started).elapsed()
    }

    pub(crate) fn new() -> Self {
        let report = Report {
            connected: false,
            synced: false,
            last_contact: None,
            version: None,
            last_error: None,
            containers: 0,
            inspects: 0,
        };
        Self { started: Instant::now(), report: Arc::new(Mutex::new(report)) }
    }

    pub(crate) fn update(&self, update: impl FnOnce(&mut Report)) {
        update(&mut self.lock());
    }

    pub(crate) fn contact(&self) {
        self.lock().last_contact = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        // Nothing that holds the lock can leave a report half written.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
