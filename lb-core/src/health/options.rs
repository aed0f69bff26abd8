use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{ActiveOptions, Check, Event, OutlierOptions, Panic, SlowStart};

/// How the health of a pool is found out, and what follows from it.
///
/// Without anything set all endpoints are healthy. Settings that make no sense
/// are read as the nearest that do: an interval is at least a millisecond, a
/// count at least 1, a share from 0 to 1.
///
/// ```
/// use std::time::Duration;
/// use lb_core::{EndpointId, health::{Health, OutlierOptions}};
///
/// let health = Health::new()
///     .check(|_: &EndpointId, _: &&'static str| async { Ok(()) })
///     .interval(Duration::from_secs(2))
///     .outliers(OutlierOptions::default())
///     .slow_start(Duration::from_secs(30));
/// # let _: Health<&'static str> = health;
/// ```
pub struct Health<T> {
    pub(super) check: Option<Arc<dyn Check<T>>>,
    pub(super) active: ActiveOptions,
    /// Shared by all clones.
    pub(super) probes: Arc<Semaphore>,
    pub(super) outliers: Option<OutlierOptions>,
    pub(super) slow_start: Option<SlowStart>,
    pub(super) panic_threshold: f64,
    pub(super) observer: Option<Observer>,
}

pub(super) type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

impl<T> Health<T> {
    /// No checks, no ejection, no slow start; panic below 50 %.
    pub fn new() -> Self {
        Self {
            check: None,
            active: ActiveOptions::default(),
            probes: Arc::new(Semaphore::new(64)),
            outliers: None,
            slow_start: None,
            panic_threshold: Panic::DEFAULT_THRESHOLD,
            observer: None,
        }
    }

    /// Ejection of endpoints whose requests fail, by the defaults of
    /// [`OutlierOptions`], and no checks: what nearly everybody wants to begin
    /// with. It costs the endpoints no request. What never answers has failed
    /// only where a deadline is around
    /// [each endpoint](crate::resilience#in-which-order).
    pub fn passive() -> Self {
        Self::new().outliers(OutlierOptions::default())
    }

    /// Checks every endpoint by this. A new endpoint is not picked before it has
    /// passed once, unless there is panic.
    #[must_use]
    pub fn check(mut self, check: impl Check<T> + 'static) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// The time between two checks of one endpoint; 5 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.active.interval = interval;
        self
    }

    /// The same for an endpoint that is unhealthy; like the others.
    #[must_use]
    pub fn unhealthy_interval(mut self, interval: Duration) -> Self {
        self.active.unhealthy_interval = Some(interval);
        self
    }

    /// How long a check may take; 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.active.timeout = timeout;
        self
    }

    /// Successes in a row that make an endpoint healthy again; 2.
    #[must_use]
    pub fn rise(mut self, rise: u32) -> Self {
        self.active.rise = rise;
        self
    }

    /// Failures in a row that make an endpoint unhealthy; 3.
    #[must_use]
    pub fn fall(mut self, fall: u32) -> Self {
        self.active.fall = fall;
        self
    }

    /// All that can be set of active checks, in place of what has been.
    #[must_use]
    pub fn active(mut self, options: ActiveOptions) -> Self {
        self.active = options;
        self
    }

    /// Checks under way at one time; 64. Over all endpoints of all pools that are
    /// watched by this and its later clones, which take turns: one limit for a
    /// process, however many pools it has.
    #[must_use]
    pub fn max_probes(mut self, max: usize) -> Self {
        self.probes = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        self
    }

    /// Ejects endpoints whose requests fail.
    #[must_use]
    pub fn outliers(mut self, options: OutlierOptions) -> Self {
        self.outliers = Some(options);
        self
    }

    /// Gives endpoints that have become ready a share that grows: a time, or a
    /// [`SlowStart`] with all that can be set.
    #[must_use]
    pub fn slow_start(mut self, slow_start: impl Into<SlowStart>) -> Self {
        self.slow_start = Some(slow_start.into());
        self
    }

    /// The share of healthy endpoints, from 0 to 1, below which health is
    /// ignored; 0.5. 0 is never.
    #[must_use]
    pub fn panic_threshold(mut self, threshold: f64) -> Self {
        self.panic_threshold = threshold;
        self
    }

    /// Tells `observer` what is found, beside the log. It is called in between
    /// checks, so it must not block.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
}

impl<T> Default for Health<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Health<T> {
    fn clone(&self) -> Self {
        Self {
            check: self.check.clone(),
            active: self.active.clone(),
            probes: Arc::clone(&self.probes),
            outliers: self.outliers.clone(),
            slow_start: self.slow_start,
            panic_threshold: self.panic_threshold,
            observer: self.observer.clone(),
        }
    }
}

impl<T> fmt::Debug for Health<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("checks", &self.check.is_some())
            .field("active", &self.active)
            .field("outliers", &self.outliers)
            .field("slow_start", &self.slow_start)
            .field("panic_threshold", &self.panic_threshold)
            .finish_non_exhaustive()
    }
}
