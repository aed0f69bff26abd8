use std::time::{Duration, Instant};

use super::{
    pause::{after, scale},
    threshold::{Status, Threshold, Transition},
};

/// How often endpoints are checked, and what the results mean.
///
/// The meaning is that of Envoy's
/// [health checks](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/health_check.proto);
/// `rise` and `fall` are HAProxy's names for its thresholds.
///
/// ```
/// use std::time::Duration;
/// use lb_core::health::ActiveOptions;
///
/// let options = ActiveOptions::new().jitter(0.2).initial_jitter(Duration::from_secs(1));
/// assert_eq!(options.interval, Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActiveOptions {
    /// The time from the end of one check to the start of the next; 5 s.
    pub interval: Duration,
    /// The same while the endpoint is unhealthy; as long as `interval`.
    pub unhealthy_interval: Option<Duration>,
    /// How long a check may take before it has failed; 1 s.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy endpoint healthy; 2.
    pub rise: u32,
    /// Failures in a row that make a healthy endpoint unhealthy; 3.
    pub fall: u32,
    /// By how much of itself each interval is made longer or shorter at random,
    /// from 0 to 1; 0.1.
    pub jitter: f64,
    /// The time over which first checks are spread; none. The first check of an
    /// endpoint is what lets it take requests, so they wait for it.
    pub initial_jitter: Duration,
}

impl Default for ActiveOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            unhealthy_interval: None,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            jitter: 0.1,
            initial_jitter: Duration::ZERO,
        }
    }
}

impl ActiveOptions {
    /// The defaults, as named with each field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`interval`](Self#structfield.interval).
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`unhealthy_interval`](Self#structfield.unhealthy_interval).
    #[must_use]
    pub fn unhealthy_interval(mut self, unhealthy_interval: Duration) -> Self {
        self.unhealthy_interval = Some(unhealthy_interval);
        self
    }

    /// Sets [`timeout`](Self#structfield.timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`rise`](Self#structfield.rise).
    #[must_use]
    pub fn rise(mut self, rise: u32) -> Self {
        self.rise = rise;
        self
    }

    /// Sets [`fall`](Self#structfield.fall).
    #[must_use]
    pub fn fall(mut self, fall: u32) -> Self {
        self.fall = fall;
        self
    }

    /// Sets [`jitter`](Self#structfield.jitter).
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets [`initial_jitter`](Self#structfield.initial_jitter).
    #[must_use]
    pub fn initial_jitter(mut self, initial_jitter: Duration) -> Self {
        self.initial_jitter = initial_jitter;
        self
    }
}

/// The active checks of one endpoint: when the next one is due, and what all of
/// them together say. Pure: who calls runs the checks.
///
/// The pause after the first check is a random part of the interval. Endpoints
/// that came together are spread over the whole of it from then on, and the
/// jitter of each interval keeps them from drifting back.
#[derive(Clone, Debug)]
pub struct Active {
    threshold: Threshold,
    interval: Duration,
    unhealthy_interval: Duration,
    jitter: f64,
    next_at: Instant,
}

impl Active {
    /// An endpoint that has not been checked. Draws from the thread's `fastrand`
    /// generator, which tests can seed, here and in [`observe`](Self::observe).
    pub fn new(options: &ActiveOptions, now: Instant) -> Self {
        Self {
            threshold: Threshold::new(options.rise, options.fall),
            interval: options.interval,
            unhealthy_interval: options.unhealthy_interval.unwrap_or(options.interval),
            jitter: options.jitter.clamp(0.0, 1.0),
            next_at: after(now, scale(options.initial_jitter, fastrand::f64())),
        }
    }

    /// When the next check is due. It doesn't move while a check is under way.
    pub fn next_at(&self) -> Instant {
        self.next_at
    }

    /// What the checks so far say.
    pub fn status(&self) -> Status {
        self.threshold.status()
    }

    /// Takes in the result of a check that has ended now; says whether it has
    /// changed the status.
    pub fn observe(&mut self, now: Instant, passed: bool) -> Option<Transition> {
        let first = self.status() == Status::Pending;
        let transition = self.threshold.observe(passed);
        let interval = match self.status() {
            Status::Unhealthy => self.unhealthy_interval,
            Status::Pending | Status::Healthy => self.interval,
        };
        let factor =
            if first { fastrand::f64() } else { 1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0) };
        self.next_at = after(now, scale(interval, factor));
        transition
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_first_check_is_due_at_once() {
        let now = Instant::now();
        assert!(Active::new(&ActiveOptions::default(), now).next_at() - now < secs(1));
    }

    #[test]
    fn first_checks_are_spread_if_asked_for() {
        fastrand::seed(7);
        let now = Instant::now();
        let options = ActiveOptions { initial_jitter: secs(10), ..Default::default() };
        let mut tenths = [0; 10];
        for _ in 0..1_000 {
            let wait = Active::new(&options, now).next_at() - now;
            tenths[usize::try_from(wait.as_secs()).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (60..140).contains(n)), "{tenths:?}");
    }

    #[test]
    fn second_checks_are_spread_over_the_interval() {
        fastrand::seed(7);
        let now = Instant::now();
        let mut fifths = [0; 5];
        for _ in 0..1_000 {
            let mut active = Active::new(&ActiveOptions::default(), now);
            active.observe(now, true);
            fifths[usize::try_from((active.next_at() - now).as_secs()).unwrap()] += 1;
        }
        assert!(fifths.iter().all(|n| (140..260).contains(n)), "{fifths:?}");
    }

    #[test]
    fn an_unhealthy_endpoint_is_looked_at_more_often() {
        let now = Instant::now();
        let options =
            ActiveOptions { unhealthy_interval: Some(secs(1)), jitter: 0.0, ..Default::default() };
        let mut active = Active::new(&options, now);
        let mut pauses = Vec::new();
        for passed in [true, true, false, false, false, false, true, true] {
            active.observe(now, passed);
            pauses.push((active.next_at() - now).as_secs_f64());
        }
        assert_eq!(pauses[1..], [5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 5.0]);
    }

    proptest! {
        #[test]
        fn pauses_stay_within_the_jitter(
            results in proptest::collection::vec(any::<bool>(), 2..50),
            jitter in 0.0..=1.0,
            interval in 10_u64..100_000,
        ) {
            let interval = Duration::from_millis(interval);
            let options = ActiveOptions { interval, jitter, ..Default::default() };
            let mut now = Instant::now();
            let mut active = Active::new(&options, now);
            active.observe(now, results[0]);
            for &passed in &results[1..] {
                active.observe(now, passed);
                let pause = (active.next_at() - now).as_secs_f64();
                let share = pause / interval.as_secs_f64();
                prop_assert!(pause >= 0.001);
                prop_assert!(share < 1.0 + jitter + 1e-6, "{}", share);
                prop_assert!(share > 1.0 - jitter - 1e-6, "{}", share);
                now = active.next_at();
            }
        }

        #[test]
        fn no_option_makes_it_panic_or_spin(
            interval: Duration,
            initial_jitter: Duration,
            jitter: f64,
            passed: bool,
        ) {
            let now = Instant::now();
            let options =
                ActiveOptions { interval, initial_jitter, jitter, ..Default::default() };
            let mut active = Active::new(&options, now);
            prop_assert!(active.next_at() > now);
            for _ in 0..3 {
                active.observe(now, passed);
                prop_assert!(active.next_at() > now);
            }
        }
    }
}
