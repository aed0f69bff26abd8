use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A time that passes only when it is told to.
///
/// ```
/// use std::time::Duration;
/// use lb_core::{balance::PickContext, testing::Clock};
/// let clock = Clock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(5));
/// let cx = PickContext::new().at(clock.now());
/// assert_eq!(cx.now() - before, Duration::from_secs(5));
/// ```
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    nanos: AtomicU64,
}

impl Clock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { began: Instant::now(), nanos: AtomicU64::new(0) }
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.began + Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Lets time pass: up to 584 years.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
