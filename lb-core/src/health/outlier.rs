mod options;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use super::pause::after;
use crate::{endpoint::EndpointId, load::Results};

pub use options::OutlierOptions;

/// Passive checks of a whole pool: who fails more than the others is ejected
/// for a while. Pure: results and the time go in, decisions come out.
///
/// The rules are those of Envoy's
/// [outlier detection](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier):
/// an ejection lasts the base time multiplied by their number, which is
/// forgotten by one for each interval in service. What differs:
///
/// * An ejection ends when its time is over, not at the next interval.
/// * The last endpoint that can be used is never ejected. When it is gone, all
///   that are ejected return.
/// * At least one endpoint may be ejected; in Envoy that is an option.
/// * Of several outliers in one interval the worst is ejected first.
/// * One that is spared because enough others are ejected keeps its failures,
///   and takes the next place that is free, unless it succeeds before.
/// * Time in service begins with the return, so that an endpoint which fails
///   again at once is ejected for longer even if an interval has just ended.
/// * A success of an active check ends no ejection: it need not touch what
///   fails.
#[derive(Debug)]
pub struct Outliers {
    options: OutlierOptions,
    members: BTreeMap<EndpointId, Member>,
    interval_ends: Instant,
    next_return: Option<Instant>,
}

/// What is known of one endpoint at the time of a judgement.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// What became of its requests so far.
    pub results: Results,
    /// Whether its source wants it used.
    pub wanted: bool,
    /// Whether it passes its active checks, if there are any.
    pub healthy: bool,
}

/// What is to be done with an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// It gets no requests for this long.
    Eject {
        /// Who.
        id: EndpointId,
        /// What makes it an outlier.
        reason: Reason,
        /// For how long at most.
        duration: Duration,
    },
    /// It gets requests again.
    Return {
        /// Who.
        id: EndpointId,
    },
}

/// What makes an endpoint an outlier.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// So many requests in a row have failed.
    ConsecutiveFailures(u32),
    /// The share of its requests that succeeded, from 0 to 1, was below the
    /// threshold that its pool set.
    SuccessRate {
        /// Its own.
        rate: f64,
        /// The mean of the pool less the allowed deviation.
        threshold: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(n) => write!(f, "{n} requests in a row have failed"),
            Self::SuccessRate { rate, threshold } => write!(
                f,
                "{:.1} % of its requests succeeded, and less than {:.1} % is an outlier",
                rate * 100.0,
                threshold * 100.0
            ),
        }
    }
}

#[derive(Debug)]
struct Member {
    /// At the start of the interval, or at its return within it.
    before: Results,
    /// At its return: failures up to here have been paid for.
    paid: Results,
    ejected_until: Option<Instant>,
    /// The factor of its last ejection, less what has been forgotten.
    ejections: u32,
    /// When it returned, or something was last forgotten.
    in_service_since: Instant,
}

/// Who can be used, while ejections are decided.
struct Pool {
    ejected: usize,
    usable: usize,
    may_be_ejected: usize,
}

impl Outliers {
    /// A pool without members, whose first interval begins now.
    pub fn new(options: OutlierOptions, now: Instant) -> Self {
        let interval_ends = after(now, options.interval);
        Self { options, members: BTreeMap::new(), interval_ends, next_return: None }
    }

    /// Adds an endpoint, or begins anew with one that has changed. What it has
    /// done before, which `results` tell, is not held against it.
    pub fn insert(&mut self, now: Instant, id: EndpointId, results: Results) {
        let member = Member {
            before: results,
            paid: results,
            ejected_until: None,
            ejections: 0,
            in_service_since: now,
        };
        self.members.insert(id, member);
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, id: &EndpointId) {
        self.members.remove(id);
    }

    /// Whether an endpoint is ejected.
    pub fn is_ejected(&self, id: &EndpointId) -> bool {
        self.members.get(id).is_some_and(|member| member.ejected_until.is_some())
    }

    /// When to judge, unless something happens before.
    pub fn next_at(&self) -> Instant {
        self.next_return.map_or(self.interval_ends, |at| at.min(self.interval_ends))
    }

    /// Decides who is ejected and who returns now. Call it when
    /// [`next_at`](Self::next_at) has come, when an endpoint has failed often
    /// enough in a row, and when one is added, removed, or no longer usable.
    pub fn judge(
        &mut self,
        now: Instant,
        mut look: impl FnMut(&EndpointId) -> Observation,
    ) -> Vec<Decision> {
        let interval_over = now >= self.interval_ends;
        let mut decisions = Vec::new();
        let (mut streaks, mut rates, mut could_return) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wanted, mut ejected, mut usable) = (0, 0, 0);

        for (id, member) in &mut self.members {
            let Observation { results, wanted: is_wanted, healthy } = look(id);
            if member.ejected_until.is_some_and(|until| until <= now) {
                member.readmit(now, results);
                decisions.push(Decision::Return { id: id.clone() });
            }
            wanted += usize::from(is_wanted);
            if member.ejected_until.is_some() {
                ejected += usize::from(is_wanted);
                if is_wanted && healthy {
                    could_return.push((id.clone(), results));
                }
            } else if is_wanted && healthy {
                usable += 1;
                let streak = member.streak(results);
                if self.options.consecutive_failures > 0
                    && streak >= self.options.consecutive_failures
                {
                    streaks.push((id.clone(), Reason::ConsecutiveFailures(streak)));
                }
                if interval_over {
                    rates
                        .extend(member.rate(results, &self.options).map(|rate| (id.clone(), rate)));
                }
            }
            if interval_over {
                member.end_interval(now, results, self.options.interval);
            }
        }
        if interval_over {
            self.interval_ends = after(now, self.options.interval);
        }

        let may_be_ejected = share(wanted, self.options.max_ejected).max(1);
        let mut pool = Pool { ejected, usable, may_be_ejected };
        for (id, reason) in streaks.into_iter().chain(outliers(rates, &self.options)) {
            decisions.extend(self.eject(now, &mut pool, id, reason));
        }
        if pool.usable == 0 {
            // Better someone who fails than nobody.
            for (id, results) in could_return {
                if let Some(member) = self.members.get_mut(&id) {
                    member.readmit(now, results);
                    decisions.push(Decision::Return { id });
                }
            }
        }
        self.next_return = self.members.values().filter_map(|member| member.ejected_until).min();
        decisions
    }

    fn eject(
        &mut self,
        now: Instant,
        pool: &mut Pool,
        id: EndpointId,
        reason: Reason,
    ) -> Option<Decision> {
        let member = self.members.get_mut(&id)?;
        // It may be an outlier in two ways at once.
        if member.ejected_until.is_some() || pool.usable <= 1 || pool.ejected >= pool.may_be_ejected
        {
            return None;
        }
        let OutlierOptions { base_ejection, max_ejection, .. } = self.options;
        // What is beyond the longest time is not counted, or it would take
        // forever to be forgotten.
        if base_ejection.saturating_mul(member.ejections) < max_ejection {
            member.ejections = member.ejections.saturating_add(1);
        }
        let duration = base_ejection.saturating_mul(member.ejections).min(max_ejection);
        member.ejected_until = Some(after(now, duration));
        pool.ejected += 1;
        pool.usable -= 1;
        Some(Decision::Eject { id, reason, duration })
    }
}

impl Member {
    fn readmit(&mut self, now: Instant, results: Results) {
        self.ejected_until = None;
        self.in_service_since = now;
        self.before = results;
        self.paid = results;
    }

    /// Failures in a row that have not been paid for.
    fn streak(&self, results: Results) -> u32 {
        if results.successes == self.paid.successes {
            results.consecutive_failures.saturating_sub(self.paid.consecutive_failures)
        } else {
            results.consecutive_failures
        }
    }

    /// The share of successes in this interval, if there were enough requests.
    fn rate(&self, results: Results, options: &OutlierOptions) -> Option<f64> {
        let successes = results.successes.wrapping_sub(self.before.successes);
        let failures = results.failures.wrapping_sub(self.before.failures);
        let requests = successes.saturating_add(failures);
        let enough = options.success_rate_min_requests.max(1);
        (requests >= enough).then(|| successes as f64 / requests as f64)
    }

    fn end_interval(&mut self, now: Instant, results: Results, interval: Duration) {
        self.before = results;
        if self.ejected_until.is_none()
            && now.saturating_duration_since(self.in_service_since) >= interval
        {
            self.ejections = self.ejections.saturating_sub(1);
            self.in_service_since = now;
        }
    }
}

/// Those of the rates that are too far below the mean, the worst first.
fn outliers(
    mut rates: Vec<(EndpointId, f64)>,
    options: &OutlierOptions,
) -> Vec<(EndpointId, Reason)> {
    if rates.len() < options.success_rate_min_hosts.max(1) {
        return Vec::new();
    }
    let n = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / n;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / n;
    let threshold = mean - options.success_rate_factor * variance.sqrt();
    // Equal rates have a mean that rounding may have moved a little.
    rates.retain(|(_, rate)| *rate + 1e-9 < threshold);
    rates.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    rates.into_iter().map(|(id, rate)| (id, Reason::SuccessRate { rate, threshold })).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a cast that doesn't fit saturates")]
fn share(of: usize, share: f64) -> usize {
    // 0.29 of 100 is 28.999…
    (of as f64 * share + 1e-9) as usize
}

#[cfg(test)]
mod tests;
