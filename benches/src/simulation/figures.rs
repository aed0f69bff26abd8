use std::time::Duration;

/// What came of one run, warm-up left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// How long requests took, in seconds, in order. One without an answer
    /// counts as long as its client has waited, one that was answered with an
    /// error doesn't count.
    latencies: Vec<f64>,
    /// How many there were.
    pub requests: usize,
    /// Requests that failed: an error, or no answer within the time limit.
    pub failed: usize,
    /// The mean time from arrival to the end, whichever it was, in seconds.
    pub mean: f64,
    /// Requests that each server got.
    pub per_server: Vec<usize>,
    /// The part of all requests that odd servers got.
    pub odd: f64,
    /// The part of requests that went where the one before with the same key
    /// went, whoever sent it.
    pub kept: f64,
    /// Requests a second.
    pub rate: f64,
    /// Requests in flight that those who came have found, over all clients.
    pub in_flight: f64,
}

impl Figures {
    /// The latency below which this part of the requests lies, in seconds;
    /// `NaN` if there are none. One without an answer counts as long as its
    /// client has waited. One that was answered with an error isn't counted: an
    /// error that comes early is no merit.
    pub fn quantile(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let at = (part.clamp(0.0, 1.0) * last as f64).round() as usize;
        self.latencies.get(at).copied().unwrap_or(f64::NAN)
    }

    /// The part of requests that failed.
    pub fn failure_rate(&self) -> f64 {
        self.failed as f64 / self.requests as f64
    }

    /// The requests of the server with the most, relative to the mean.
    pub fn imbalance(&self) -> f64 {
        let most = self.per_server.iter().max().copied().unwrap_or(0);
        let all: usize = self.per_server.iter().sum();
        most as f64 * self.per_server.len() as f64 / all as f64
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    Failed,
    TimedOut,
}

/// Figures in the making.
#[derive(Debug)]
pub(super) struct Recorder {
    latencies: Vec<f64>,
    failed: usize,
    ended: usize,
    busy: Duration,
    per_server: Vec<usize>,
    sent_to: Vec<Option<usize>>,
    repeated: usize,
    kept: usize,
    arrivals: usize,
    found: usize,
    first: Option<Duration>,
    last: Duration,
}

impl Recorder {
    pub(super) fn new(servers: usize, keys: usize) -> Self {
        Self {
            latencies: Vec::new(),
            failed: 0,
            ended: 0,
            busy: Duration::ZERO,
            per_server: vec![0; servers],
            sent_to: vec![None; keys],
            repeated: 0,
            kept: 0,
            arrivals: 0,
            found: 0,
            first: None,
            last: Duration::ZERO,
        }
    }

    /// A request has come when so many of the same client were in flight.
    pub(super) fn arrived(&mut self, now: Duration, in_flight: usize) {
        self.first.get_or_insert(now);
        self.last = now;
        self.arrivals += 1;
        self.found += in_flight;
    }

    pub(super) fn sent(&mut self, key: usize, server: usize) {
        self.per_server[server] += 1;
        if let Some(before) = self.sent_to[key].replace(server) {
            self.repeated += 1;
            self.kept += usize::from(before == server);
        }
    }

    pub(super) fn ended(&mut self, took: Duration, end: End) {
        self.ended += 1;
        self.busy += took;
        if end != End::Answered {
            self.failed += 1;
        }
        if end != End::Failed {
            self.latencies.push(took.as_secs_f64());
        }
    }

    pub(super) fn figures(mut self, clients: usize, odd: impl Fn(usize) -> bool) -> Figures {
        self.latencies.sort_unstable_by(f64::total_cmp);
        let sent: usize = self.per_server.iter().sum();
        let to_odd: usize =
            self.per_server.iter().enumerate().filter(|(at, _)| odd(*at)).map(|(_, n)| n).sum();
        let time = self.last.saturating_sub(self.first.unwrap_or_default());
        Figures {
            latencies: self.latencies,
            requests: self.ended,
            failed: self.failed,
            mean: self.busy.as_secs_f64() / self.ended as f64,
            per_server: self.per_server,
            odd: to_odd as f64 / sent as f64,
            kept: self.kept as f64 / self.repeated as f64,
            rate: self.arrivals.saturating_sub(1) as f64 / time.as_secs_f64(),
            in_flight: (clients * self.found) as f64 / self.arrivals as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_four_requests() {
        let mut recorder = Recorder::new(3, 2);
        for (at, (key, server)) in [(0, 2), (0, 2), (1, 0), (0, 1)].into_iter().enumerate() {
            recorder.arrived(Duration::from_secs(at as u64), at);
            recorder.sent(key, server);
        }
        for (took, end) in
            [(30, End::Answered), (10, End::Answered), (100, End::TimedOut), (20, End::Failed)]
        {
            recorder.ended(Duration::from_millis(took), end);
        }
        let figures = recorder.figures(2, |server| server == 2);
        assert_eq!([0.0, 0.5, 1.0].map(|part| figures.quantile(part)), [0.01, 0.03, 0.1]);
        assert_eq!((figures.requests, figures.failure_rate()), (4, 0.5));
        assert_eq!((figures.per_server.as_slice(), figures.odd), ([1, 1, 2].as_slice(), 0.5));
        assert_eq!((figures.imbalance(), figures.kept), (1.5, 0.5));
        assert_eq!((figures.rate, figures.in_flight, figures.mean), (1.0, 3.0, 0.04));
    }
}
