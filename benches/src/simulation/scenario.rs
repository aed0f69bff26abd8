use std::{fmt, str::FromStr, time::Duration};

use anyhow::bail;

use super::{
    random::{Distribution, Keys},
    server::{Setup, Trouble},
};

/// A cluster in some state, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// All servers are the same.
    Equal,
    /// The same with requests that are all the same work.
    Constant,
    /// The same with a longer tail of large requests.
    LogNormal,
    /// The same with a few requests that are twenty times the others.
    Bimodal,
    /// One server is slower.
    Slow,
    /// One server is slower every other two seconds.
    Flapping,
    /// One server fails at once.
    Failing,
    /// One server fails at once and says to come back in five seconds.
    RetryAfter,
    /// One server never answers.
    Hanging,
    /// Half of the servers are twice as fast and have twice the weight.
    Weights,
    /// Some keys are asked for far more often.
    Keys,
}

/// How often a flapping server changes.
const FLAPS: Duration = Duration::from_secs(2);
/// How long a failing server asks to be left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// Few enough that each is asked for several times in a run.
const KEYS: usize = 10_000;

impl Scenario {
    /// All of them, in the order in which they are shown.
    pub const ALL: &'static [Self] = &[
        Self::Equal,
        Self::Constant,
        Self::LogNormal,
        Self::Bimodal,
        Self::Slow,
        Self::Flapping,
        Self::Failing,
        Self::RetryAfter,
        Self::Hanging,
        Self::Weights,
        Self::Keys,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Constant => "constant",
            Self::LogNormal => "log_normal",
            Self::Bimodal => "bimodal",
            Self::Slow => "slow",
            Self::Flapping => "flapping",
            Self::Failing => "failing",
            Self::RetryAfter => "retry_after",
            Self::Hanging => "hanging",
            Self::Weights => "weights",
            Self::Keys => "keys",
        }
    }

    /// What it is, as the title of a table.
    pub fn about(self) -> &'static str {
        match self {
            Self::Equal => "all servers equal",
            Self::Constant => "all requests the same work",
            Self::LogNormal => "a long tail of large requests",
            Self::Bimodal => "1 % of requests 20 times the others",
            Self::Slow => "one server slow",
            Self::Flapping => "one server slow every other 2 s",
            Self::Failing => "one server fails in 1 ms",
            Self::RetryAfter => "one fails in 1 ms, Retry-After: 5",
            Self::Hanging => "one server hangs",
            Self::Weights => "half the servers twice as fast, weight 2",
            Self::Keys => "keys by Zipf's law",
        }
    }

    /// How much work requests are.
    pub fn distribution(self) -> Distribution {
        match self {
            Self::Constant => Distribution::Constant,
            Self::LogNormal => Distribution::LogNormal,
            Self::Bimodal => Distribution::Bimodal,
            _ => Distribution::Exponential,
        }
    }

    /// So many servers, the last of which is in trouble if any is.
    pub fn servers(self, count: usize, slowdown: f64) -> Vec<Setup> {
        let mut servers = vec![Setup::usual(); count];
        if self == Self::Weights {
            let fast = Setup { speed: 2.0, weight: 2, odd: true, ..Setup::usual() };
            servers[count - count / 2..].fill(fast);
        }
        if let (Some(trouble), Some(last)) = (self.trouble(slowdown), servers.last_mut()) {
            *last = Setup::troubled(trouble);
        }
        servers
    }

    /// What is asked for.
    pub fn keys(self) -> Keys {
        Keys::new(KEYS, if self == Self::Keys { 1.0 } else { 0.0 })
    }

    /// Whether one server is in trouble: without it, things would be as in
    /// [`Equal`](Self::Equal).
    pub fn is_troubled(self) -> bool {
        self.trouble(1.0).is_some()
    }

    fn trouble(self, slowdown: f64) -> Option<Trouble> {
        match self {
            Self::Slow => Some(Trouble::Slow(slowdown)),
            Self::Flapping => Some(Trouble::Flapping(slowdown, FLAPS)),
            Self::Failing => Some(Trouble::Failing(None)),
            Self::RetryAfter => Some(Trouble::Failing(Some(PAUSE))),
            Self::Hanging => Some(Trouble::Hanging),
            _ => None,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let Some(found) = Self::ALL.iter().find(|scenario| scenario.name() == name) else {
            let names: Vec<_> = Self::ALL.iter().map(|scenario| scenario.name()).collect();
            bail!("`{name}` is not a scenario; use {}", names.join(", "));
        };
        Ok(*found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for &scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse::<Scenario>().unwrap(), scenario);
        }
        let error = "fast".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.starts_with("`fast` is not a scenario; use equal,"), "{error}");
    }

    #[test]
    fn exactly_one_is_in_trouble_where_one_is() {
        for &scenario in Scenario::ALL {
            let servers = scenario.servers(10, 10.0);
            let troubled = servers.iter().filter(|server| server.trouble.is_some()).count();
            assert_eq!(troubled, usize::from(scenario.is_troubled()), "{scenario}");
        }
        let fast = Scenario::Weights.servers(10, 1.0);
        assert_eq!(fast.iter().filter(|server| server.weight == 2).count(), 5);
    }
}
