//! What became of the requests: in all, in the last second, and by who answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use hyper::StatusCode;

use super::connection::{Answer, Failure};

/// Names that are told apart; what is beyond is counted together.
const NAMES: usize = 1000;

/// The name of all beyond.
const OTHERS: &str = "others";

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Since the beginning.
    pub(crate) total: Figures,
    /// Of the last second that is over.
    pub(crate) second: Figures,
    /// Those that answered, in the order in which they first did.
    pub(crate) servers: Vec<Server>,
    /// Of the second that is under way.
    current: Figures,
}

/// What is counted of some requests.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Answered with less than 400.
    pub(crate) ok: u64,
    /// How many answers had which status.
    pub(crate) statuses: BTreeMap<StatusCode, u64>,
    /// Of those without a whole answer.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Microseconds that good answers took.
    latency: Histogram<u64>,
}

/// One of those that answered.
#[derive(Debug)]
pub(crate) struct Server {
    /// Nothing, for answers that tell no name.
    pub(crate) name: Option<String>,
    pub(crate) total: u64,
    /// Those of 400 and above.
    pub(crate) failed: u64,
    /// In the last second that is over.
    pub(crate) second: u64,
    /// For how many seconds it has not answered.
    pub(crate) silent: u64,
    current: u64,
}

/// The tally, whatever became of who held it before.
pub(crate) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            total: Figures::new()?,
            second: Figures::new()?,
            servers: Vec::new(),
            current: Figures::new()?,
        })
    }

    /// Counts a request.
    pub(crate) fn take(&mut self, latency: Duration, outcome: Result<Answer, Failure>) {
        for figures in [&mut self.total, &mut self.current] {
            figures.take(latency, &outcome);
        }
        if let Ok(Answer { status, name }) = outcome {
            let server = self.server(name);
            server.total += 1;
            server.current += 1;
            server.failed += u64::from(is_bad(status));
        }
    }

    /// Ends a second.
    pub(crate) fn tick(&mut self) {
        std::mem::swap(&mut self.second, &mut self.current);
        self.current.clear();
        for server in &mut self.servers {
            server.second = std::mem::take(&mut server.current);
            server.silent = if server.second == 0 { server.silent + 1 } else { 0 };
        }
    }

    fn server(&mut self, mut name: Option<String>) -> &mut Server {
        let mut at = self.servers.iter().position(|server| server.name == name);
        if at.is_none() && self.servers.len() >= NAMES {
            name = Some(OTHERS.to_owned());
            at = self.servers.iter().position(|server| server.name == name);
        }
        let at = at.unwrap_or_else(|| {
            let new = Server { name, total: 0, failed: 0, second: 0, silent: 0, current: 0 };
            self.servers.push(new);
            self.servers.len() - 1
        });
        &mut self.servers[at]
    }
}

impl Figures {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            ok: 0,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            // Three digits, of up to an hour.
            latency: Histogram::new_with_max(3_600_000_000, 3).context("cannot count latencies")?,
        })
    }

    /// Those that came to an end, whichever.
    pub(crate) fn ended(&self) -> u64 {
        self.ok + self.failed()
    }

    /// Those without a whole answer, and those answered with 400 and above.
    pub(crate) fn failed(&self) -> u64 {
        let bad = self.statuses.iter().filter(|(status, _)| is_bad(**status));
        bad.map(|(_, count)| count).chain(self.failures.values()).sum()
    }

    /// The statuses of good answers, and how often they came.
    pub(crate) fn good(&self) -> impl Iterator<Item = (String, u64)> {
        let good = self.statuses.iter().filter(|(status, _)| !is_bad(**status));
        good.map(|(status, count)| (status.to_string(), *count))
    }

    /// What went wrong, and how often.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (String, u64)> {
        let bad = self.statuses.iter().filter(|(status, _)| is_bad(**status));
        let bad = bad.map(|(status, count)| (status.to_string(), *count));
        bad.chain(self.failures.iter().map(|(failure, count)| (failure.to_string(), *count)))
    }

    /// What this share of the good answers took at most; nothing, if there were none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let micros = self.latency.value_at_quantile(share);
        (!self.latency.is_empty()).then(|| Duration::from_micros(micros))
    }

    fn take(&mut self, latency: Duration, outcome: &Result<Answer, Failure>) {
        match outcome {
            Ok(Answer { status, .. }) => {
                *self.statuses.entry(*status).or_default() += 1;
                if !is_bad(*status) {
                    self.ok += 1;
                    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                    self.latency.saturating_record(micros);
                }
            }
            Err(failure) => *self.failures.entry(*failure).or_default() += 1,
        }
    }

    fn clear(&mut self) {
        self.ok = 0;
        self.statuses.clear();
        self.failures.clear();
        self.latency.reset();
    }
}

fn is_bad(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, name: &str) -> Result<Answer, Failure> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Answer { status, name: Some(name.to_owned()) })
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn counts_by_outcome_and_by_who_answered() {
        let mut tally = Tally::new().unwrap();
        for n in 1..=100 {
            tally.take(MS * n, answer(200, "a"));
        }
        // No latency of a good answer.
        tally.take(MS * 9000, answer(503, "b"));
        tally.take(MS * 9000, Err(Failure::Refused));
        assert_eq!((tally.total.ok, tally.total.failed(), tally.total.ended()), (100, 2, 102));
        let median = tally.total.quantile(0.5).unwrap();
        assert!((MS * 50..MS * 51).contains(&median), "{median:?}");
        assert!(tally.total.quantile(1.0).unwrap() < MS * 101);
        let reasons: Vec<_> = tally.total.reasons().collect();
        assert_eq!(
            reasons,
            [("503 Service Unavailable".to_owned(), 1), ("connection refused".to_owned(), 1)]
        );
        let servers: Vec<_> =
            tally.servers.iter().map(|of| (of.name.as_deref(), of.total, of.failed)).collect();
        assert_eq!(servers, [(Some("a"), 100, 0), (Some("b"), 1, 1)]);
    }

    #[test]
    fn a_second_begins_anew_and_the_total_goes_on() {
        let mut tally = Tally::new().unwrap();
        assert_eq!(tally.total.quantile(0.5), None);
        tally.take(MS, answer(200, "a"));
        tally.tick();
        assert_eq!((tally.second.ok, tally.servers[0].second, tally.servers[0].silent), (1, 1, 0));
        tally.tick();
        assert_eq!((tally.second.ok, tally.servers[0].second, tally.servers[0].silent), (0, 0, 1));
        assert_eq!((tally.total.ok, tally.servers[0].total), (1, 1));
    }

    #[test]
    fn names_are_bounded() {
        let mut tally = Tally::new().unwrap();
        for n in 0..NAMES + 5 {
            tally.take(MS, answer(200, &n.to_string()));
        }
        assert_eq!(tally.servers.len(), NAMES + 1);
        assert_eq!(tally.servers[NAMES].total, 5);
    }
}
