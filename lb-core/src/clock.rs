//! What time it is.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Tokio's time, so that a test which pauses tokio's clock holds everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Nanoseconds since some moment in the life of this process, for atomics; 0
/// before it.
#[inline]
pub(crate) fn nanos(at: Instant) -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    duration_nanos(at.saturating_duration_since(*BEGAN))
}

/// Enough for 584 years.
#[inline]
pub(crate) fn duration_nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    duration.as_secs().saturating_mul(SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}
