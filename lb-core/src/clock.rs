//! What time it is.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Tokio's time, so that a test which pauses tokio's clock holds everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Nanoseconds since some moment a day or more before this process began, for
/// atomics.
#[inline]
pub(crate) fn nanos(at: Instant) -> u64 {
    static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
    const DAY: u64 = 86_400 * SECOND;
    match at.checked_duration_since(*NOW) {
        Some(after) => DAY.saturating_add(duration_nanos(after)),
        None => DAY.saturating_sub(duration_nanos(NOW.saturating_duration_since(at))),
    }
}

const SECOND: u64 = 1_000_000_000;

/// Enough for 584 years.
#[inline]
pub(crate) fn duration_nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(SECOND).saturating_add(u64::from(duration.subsec_nanos()))
}
