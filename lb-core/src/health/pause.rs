//! Arithmetic on pauses that configuration may have made huge, or nothing at all.

use std::time::{Duration, Instant};

/// The shortest pause between two looks at anything, so that no setting makes a
/// loop spin.
pub(super) const MIN_PAUSE: Duration = Duration::from_millis(1);

/// What stands for "never": a sum that would overflow is a panic.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The moment that is `pause` after `now`, and at least a little later.
pub(super) fn after(now: Instant, pause: Duration) -> Instant {
    now + pause.clamp(MIN_PAUSE, FAR)
}

/// `duration` times `factor`, or `duration` where the product is no duration.
pub(super) fn scale(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_overflows_or_stands_still() {
        let now = Instant::now();
        assert!(after(now, Duration::ZERO) > now);
        assert!(after(now, Duration::MAX) > now);
        assert_eq!(scale(Duration::MAX, 2.0), Duration::MAX);
        assert_eq!(scale(Duration::from_secs(1), f64::NAN), Duration::from_secs(1));
        assert_eq!(scale(Duration::from_secs(4), 0.5), Duration::from_secs(2));
    }
}
