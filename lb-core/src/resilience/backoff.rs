use std::time::Duration;

/// How long to pause before a retry: at random up to a limit that doubles with
/// each ("full jitter", of Amazon's "Exponential Backoff And Jitter").
///
/// The first retry goes at once, because there is another endpoint to take it
/// and the budget keeps it from being one of too many. For a cluster of one
/// endpoint, [pause before the first](Self::before_first) as well.
///
/// tower's `ExponentialBackoff` adds its jitter to the base and so has none left
/// when it has reached the limit, where it is needed most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    before_first: bool,
}

impl Backoff {
    /// Pauses of up to `base`, twice `base` and so on, and never more than `max`.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, before_first: false }
    }

    /// Pauses before the first retry, too.
    #[must_use]
    pub const fn before_first(mut self) -> Self {
        self.before_first = true;
        self
    }

    /// The pause before a retry; the first is number 1.
    pub fn pause(&self, retry: u32) -> Duration {
        let doublings = if self.before_first { retry.checked_sub(1) } else { retry.checked_sub(2) };
        let Some(doublings) = doublings else { return Duration::ZERO };
        let most = self.base.saturating_mul(2_u32.saturating_pow(doublings)).min(self.max);
        Duration::from_nanos(fastrand::u64(..=u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// From 25 to 250 ms.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(25), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn longest(backoff: Backoff, retry: u32) -> u128 {
        (0..1000).map(|_| backoff.pause(retry).as_millis()).max().unwrap()
    }

    #[test]
    fn pauses_grow_and_are_jittered() {
        fastrand::seed(1);
        let backoff = Backoff::default();
        assert_eq!(longest(backoff, 1), 0, "the first goes at once");
        for (retry, most) in [(2, 25), (3, 50), (4, 100), (5, 200), (6, 250), (1000, 250)] {
            let longest = longest(backoff, retry);
            assert!((most * 9 / 10..=most).contains(&longest), "{retry}: {longest}");
            let shortest = (0..1000).map(|_| backoff.pause(retry).as_millis()).min().unwrap();
            assert!(shortest < most / 10, "{retry}: {shortest}");
        }
        assert!(longest(backoff.before_first(), 1) > 20);
    }

    proptest! {
        #[test]
        fn never_exceeds_its_limit(base: u64, max: u64, retry: u32) {
            let max = Duration::from_nanos(max);
            let backoff = Backoff::new(Duration::from_nanos(base), max).before_first();
            prop_assert!(backoff.pause(retry) <= max);
        }
    }
}
