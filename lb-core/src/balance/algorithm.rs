use std::{error, fmt, str::FromStr, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, LeastRequest, RoundRobin};

/// The algorithms by name: the same name in code, configuration and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `round_robin`: each in turn. See [`RoundRobin`].
    #[default]
    RoundRobin,
    /// `least_request`: the less busy of two drawn at random. See
    /// [`LeastRequest`].
    LeastRequest,
}

impl Algorithm {
    /// All of them, in the order in which documentation lists them.
    pub const ALL: &'static [Self] = &[Self::RoundRobin, Self::LeastRequest];

    /// Its name in configuration and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastRequest => "least_request",
        }
    }
}

impl BalancerFactory for Algorithm {
    fn build(&self, _: &[Candidate]) -> Arc<dyn Balancer> {
        match self {
            Self::RoundRobin => Arc::new(RoundRobin::new()),
            Self::LeastRequest => Arc::new(LeastRequest::new()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

/// No algorithm has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm(String);

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an algorithm; use ", self.0)?;
        for (i, algorithm) in Algorithm::ALL.iter().enumerate() {
            let between = if i == 0 { "" } else { " or " };
            write!(f, "{between}{algorithm}")?;
        }
        Ok(())
    }
}

impl error::Error for UnknownAlgorithm {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for &algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn an_unknown_name_is_told_what_would_be_right() {
        let error = "fastest".parse::<Algorithm>().unwrap_err().to_string();
        assert_eq!(error, "`fastest` is not an algorithm; use round_robin or least_request");
    }
}
