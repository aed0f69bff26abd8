//! What came of a load.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use crate::table::{self, Row};

/// What is slower than this, a person feels.
const SLOW: Duration = Duration::from_millis(300);

/// How a body that ended early is told: it must never pass for a whole one.
pub(super) const TRUNCATED: &str = "truncated";

/// How an answer of somebody else is told.
pub(super) const WRONG: &str = "answered by the wrong service";

#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) ok: u64,
    pub(crate) slow: u64,
    /// Requests that were not answered well, by the reason.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Good answers, by who gave them.
    pub(crate) by: BTreeMap<String, u64>,
    /// Which POSTs were answered well.
    pub(crate) good: Vec<String>,
    /// And which were not.
    pub(crate) bad: Vec<String>,
    /// In microseconds.
    times: Vec<u32>,
    /// How many answers came to requests that were due after this.
    count_from: Option<Instant>,
    counted: u64,
}

impl Report {
    /// Counts anew: answers to requests that are due after this.
    pub(super) fn count_from(&mut self, from: Instant) {
        self.count_from = Some(from);
        self.counted = 0;
    }

    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn from(&self, who: &str) -> u64 {
        self.by.get(who).copied().unwrap_or_default()
    }

    /// Answers whose body ended early.
    pub(crate) fn truncated(&self) -> u64 {
        self.failures.get(TRUNCATED).copied().unwrap_or_default()
    }

    /// Requests that the client was told of that they failed on the way.
    pub(crate) fn told(&self) -> u64 {
        let told = self.failures.iter().filter(|(reason, _)| reason.starts_with("502: "));
        told.map(|(_, count)| count).sum()
    }

    /// Answers of a service that wasn't asked, or to another request.
    pub(crate) fn wrong(&self) -> u64 {
        self.failures.get(WRONG).copied().unwrap_or_default()
    }

    pub(crate) fn slowest(&self) -> Duration {
        self.rank(1000)
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.sent += other.sent;
        self.ok += other.ok;
        self.slow += other.slow;
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        for (who, count) in &other.by {
            *self.by.entry(who.clone()).or_default() += count;
        }
        self.good.extend_from_slice(&other.good);
        self.bad.extend_from_slice(&other.bad);
        self.times.extend_from_slice(&other.times);
        self
    }

    #[track_caller]
    pub(crate) fn none_failed(&self) {
        assert_eq!(self.failed(), 0, "{self}");
        assert_eq!(self.sent, self.ok, "{self}");
    }

    /// At most so many were slow. The machine itself may stall, so that none is
    /// too much to ask.
    #[track_caller]
    pub(crate) fn slow_at_most(&self, limit: u64) {
        assert!(self.slow <= limit, "more than {limit} slow: {self}");
    }

    /// Has it in the table, as what this scenario showed.
    pub(crate) fn tabulate(&self, scenario: &str, note: impl Into<String>) -> &Self {
        table::add(Row {
            scenario: scenario.to_owned(),
            requests: self.sent,
            failed: self.failed(),
            slow: self.slow,
            slowest: self.slowest(),
            note: note.into(),
        });
        self
    }

    pub(super) fn take(
        &mut self,
        id: Option<String>,
        due: Instant,
        outcome: Result<String, String>,
    ) {
        let time = due.elapsed();
        self.counted += u64::from(self.count_from.is_some_and(|from| due > from));
        match outcome {
            Ok(who) => {
                self.ok += 1;
                *self.by.entry(who).or_default() += 1;
                self.good.extend(id);
            }
            Err(reason) => {
                *self.failures.entry(reason).or_default() += 1;
                self.bad.extend(id);
            }
        }
        self.slow += u64::from(time > SLOW);
        self.times.push(time.as_micros().try_into().unwrap_or(u32::MAX));
    }

    /// The time that so many of thousand don't exceed.
    fn rank(&self, of_thousand: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() * of_thousand / 1000).min(times.len().saturating_sub(1));
        Duration::from_micros(times.get(at).copied().unwrap_or_default().into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, ok, slow, failures, by, .. } = self;
        let rank = |of_thousand| self.rank(of_thousand).as_secs_f64() * 1e3;
        write!(f, "sent {sent}, ok {ok}, failed {}, slow {slow}", self.failed())?;
        let (median, high, most) = (rank(500), rank(990), rank(1000));
        write!(f, "; ms: median {median:.1}, 99 % {high:.1}, most {most:.1}; by {by:?}")?;
        if failures.is_empty() { Ok(()) } else { write!(f, "; failures {failures:?}") }
    }
}
