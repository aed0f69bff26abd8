//! What the server does to its answers: the knobs, and how they decide.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::StatusCode;

use crate::overrides::Overrides;

/// How a server treats every request. The default answers at once, always, with
/// the greeting alone.
#[derive(Clone, Debug, Default)]
pub struct Behavior {
    /// Time before every answer. Default: zero.
    pub latency: Duration,
    /// Most time added to `latency`; each answer draws its own from zero to
    /// this, uniformly. Default: zero.
    pub jitter: Duration,
    /// Share of requests answered 500. Default: none.
    pub error_rate: Rate,
    /// Share of requests never answered: they are held until the client leaves
    /// or the server ends. Default: none.
    pub hang_rate: Rate,
    /// Length of every body in bytes: the greeting repeated, cut where the
    /// length is reached. Default: the greeting once.
    pub body_size: Option<u64>,
}

impl Behavior {
    /// Decides the fate of one request, by the knobs and the dice, with what the
    /// request itself asked for taking precedence.
    pub(crate) fn decide(&self, overrides: &Overrides) -> Plan {
        if overrides.hang || self.hang_rate.strikes() {
            return Plan::Hang;
        }
        let delay = overrides.latency.unwrap_or_else(|| {
            let extra = self.jitter.mul_f64(fastrand::f64());
            self.latency.saturating_add(extra)
        });
        let status = overrides.status.unwrap_or_else(|| {
            if self.error_rate.strikes() {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            }
        });
        Plan::Answer { delay, status, size: overrides.size.or(self.body_size) }
    }
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    /// It is never answered.
    Hang,
    /// It is answered.
    Answer {
        /// Time to wait first.
        delay: Duration,
        /// The status of the answer.
        status: StatusCode,
        /// The length of the body in bytes; `None` for that of the text.
        size: Option<u64>,
    },
}

/// A share of requests, from 0 (none) to 1 (all).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// No request.
    pub const NEVER: Self = Self(0.0);
    /// Every request.
    pub const ALWAYS: Self = Self(1.0);

    /// A share between 0 and 1, both included.
    ///
    /// # Errors
    ///
    /// The share is outside this range, or not a number.
    pub fn new(share: f64) -> Result<Self, InvalidRate> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(InvalidRate(())) }
    }

    /// Whether this request is one of the share.
    fn strikes(self) -> bool {
        // The draw is below 1, so that `ALWAYS` never misses. `NEVER` does not
        // pay for a draw.
        self.0 > 0.0 && fastrand::f64() < self.0
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        text.parse().map_err(|_| InvalidRate(())).and_then(Self::new)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is not a share of requests; says what to write instead.
#[derive(Debug)]
pub struct InvalidRate(());

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a share: write a number from 0 (none) to 1 (all), as in 0.05 for one in twenty",
        )
    }
}

impl std::error::Error for InvalidRate {}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(behavior: &Behavior, query: &str) -> Plan {
        behavior.decide(&Overrides::parse(query).unwrap())
    }

    fn answer(delay: Duration, status: StatusCode, size: Option<u64>) -> Plan {
        Plan::Answer { delay, status, size }
    }

    #[test]
    fn a_rate_is_a_share() {
        assert_eq!("0.25".parse::<Rate>().unwrap(), Rate(0.25));
        assert_eq!("1".parse::<Rate>().unwrap(), Rate::ALWAYS);
        for text in ["-0.1", "1.01", "NaN", "inf", "half", ""] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("from 0 (none) to 1 (all)"), "{text}: {error}");
        }
    }

    #[test]
    fn a_rate_strikes_its_share() {
        assert!((0..1000).all(|_| Rate::ALWAYS.strikes()));
        assert!(!(0..1000).any(|_| Rate::NEVER.strikes()));
        // 40 standard deviations wide: it fails when the draw is broken only.
        let half = (0..10_000).filter(|_| Rate(0.5).strikes()).count();
        assert!((3_000..7_000).contains(&half), "{half} of 10000");
    }

    #[test]
    fn the_default_answers_at_once() {
        assert_eq!(decide(&Behavior::default(), ""), answer(Duration::ZERO, StatusCode::OK, None));
    }

    #[test]
    fn jitter_adds_to_latency() {
        let latency = Duration::from_millis(10);
        let jitter = Duration::from_millis(5);
        let behavior = Behavior { latency, jitter, ..Behavior::default() };
        for _ in 0..1000 {
            let Plan::Answer { delay, .. } = decide(&behavior, "") else {
                panic!("hangs");
            };
            assert!((latency..=latency + jitter).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn requests_override_the_knobs() {
        let behavior = Behavior {
            latency: Duration::from_secs(1),
            jitter: Duration::from_secs(1),
            error_rate: Rate::ALWAYS,
            hang_rate: Rate::NEVER,
            body_size: Some(10),
        };
        assert_eq!(
            decide(&behavior, "latency=5ms&status=201&size=7"),
            answer(Duration::from_millis(5), StatusCode::CREATED, Some(7))
        );
        assert_eq!(decide(&behavior, "hang"), Plan::Hang);
    }

    #[test]
    fn hanging_comes_before_failing() {
        let behavior =
            Behavior { error_rate: Rate::ALWAYS, hang_rate: Rate::ALWAYS, ..Behavior::default() };
        assert_eq!(decide(&behavior, ""), Plan::Hang);
    }
}
