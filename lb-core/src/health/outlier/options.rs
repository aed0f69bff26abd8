use std::time::Duration;

/// When an endpoint is an outlier, and what becomes of it.
///
/// Names and defaults are those of Envoy's
/// [outlier detection](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/outlier_detection.proto).
///
/// ```
/// use std::time::Duration;
/// use lb_core::health::OutlierOptions;
///
/// let options = OutlierOptions::new().max_ejected(0.3).base_ejection(Duration::from_secs(10));
/// assert_eq!(options.consecutive_failures, 5);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutlierOptions {
    /// Failures in a row that eject an endpoint; 5. 0 is never.
    pub consecutive_failures: u32,
    /// How many standard deviations below the mean of the pool a success rate
    /// ejects an endpoint; 1.9. Infinity is never.
    pub success_rate_factor: f64,
    /// Endpoints with enough requests, without which success rates are not
    /// compared; 5.
    pub success_rate_min_hosts: usize,
    /// Requests in one interval that are enough; 100.
    pub success_rate_min_requests: u64,
    /// The time over which success rates are counted; 10 s.
    pub interval: Duration,
    /// How long the first ejection lasts; 30 s. The next one lasts twice that,
    /// the one after it three times.
    pub base_ejection: Duration,
    /// The longest ejection; 300 s.
    pub max_ejection: Duration,
    /// The share of the pool that may be ejected at one time, from 0 to 1; 0.1.
    /// One endpoint may be, whatever this says.
    pub max_ejected: f64,
}

impl Default for OutlierOptions {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            success_rate_factor: 1.9,
            success_rate_min_hosts: 5,
            success_rate_min_requests: 100,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected: 0.1,
        }
    }
}

impl OutlierOptions {
    /// The defaults, as named with each field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`consecutive_failures`](Self#structfield.consecutive_failures).
    #[must_use]
    pub fn consecutive_failures(mut self, consecutive_failures: u32) -> Self {
        self.consecutive_failures = consecutive_failures;
        self
    }

    /// Sets [`success_rate_factor`](Self#structfield.success_rate_factor).
    #[must_use]
    pub fn success_rate_factor(mut self, success_rate_factor: f64) -> Self {
        self.success_rate_factor = success_rate_factor;
        self
    }

    /// Sets [`success_rate_min_hosts`](Self#structfield.success_rate_min_hosts).
    #[must_use]
    pub fn success_rate_min_hosts(mut self, success_rate_min_hosts: usize) -> Self {
        self.success_rate_min_hosts = success_rate_min_hosts;
        self
    }

    /// Sets [`success_rate_min_requests`](Self#structfield.success_rate_min_requests).
    #[must_use]
    pub fn success_rate_min_requests(mut self, success_rate_min_requests: u64) -> Self {
        self.success_rate_min_requests = success_rate_min_requests;
        self
    }

    /// Sets [`interval`](Self#structfield.interval).
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`base_ejection`](Self#structfield.base_ejection).
    #[must_use]
    pub fn base_ejection(mut self, base_ejection: Duration) -> Self {
        self.base_ejection = base_ejection;
        self
    }

    /// Sets [`max_ejection`](Self#structfield.max_ejection).
    #[must_use]
    pub fn max_ejection(mut self, max_ejection: Duration) -> Self {
        self.max_ejection = max_ejection;
        self
    }

    /// Sets [`max_ejected`](Self#structfield.max_ejected).
    #[must_use]
    pub fn max_ejected(mut self, max_ejected: f64) -> Self {
        self.max_ejected = max_ejected;
        self
    }
}
