use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::sync::lock;

/// What has been found out of an endpoint, for people to read.
pub(super) struct Findings {
    /// When it was last found to be usable, or not, in nanoseconds of Unix time.
    since: AtomicU64,
    /// Why it is not used though its source wants it to be, by who says so.
    troubles: Mutex<[Option<String>; 3]>,
}

/// Who knows of trouble.
#[derive(Clone, Copy)]
pub(super) enum Speaker {
    Probe,
    Monitor,
    Silence,
}

impl Findings {
    /// Nothing is known of it yet.
    pub(super) fn none() -> Self {
        Self {
            since: AtomicU64::new(unix_nanos()),
            troubles: Mutex::new([Some("not yet probed".into()), None, None]),
        }
    }

    /// Whether it is used has changed now.
    pub(super) fn date(&self) {
        self.since.store(unix_nanos(), Ordering::Relaxed);
    }

    /// When that was last.
    pub(super) fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.since.load(Ordering::Relaxed))
    }

    pub(super) fn troubles(&self) -> Vec<String> {
        lock(&self.troubles).iter().flatten().cloned().collect()
    }

    /// What this one has to say.
    pub(super) fn trouble(&self, speaker: Speaker) -> Option<String> {
        lock(&self.troubles)[speaker as usize].clone()
    }

    pub(super) fn set_trouble(&self, speaker: Speaker, trouble: Option<String>) {
        lock(&self.troubles)[speaker as usize] = trouble;
    }
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
