use std::{error, fmt, str::FromStr, sync::Arc};

use super::{
    Balancer, BalancerFactory, Candidate, FullScan, LeastRequest, Maglev, PeakEwma, Random,
    Rendezvous, RingHash, RoundRobin, WeightedRandom, WeightedRoundRobin,
};

/// The algorithms by name: the same name in code, configuration and labels.
///
/// Those that need to be told more than a name are factories of their own, and
/// take one of these to pick among the endpoints they leave:
/// [`ZoneAware`](super::ZoneAware) and [`Aperture`](super::Aperture). Priorities
/// need no algorithm; see [`Cluster`](super::Cluster).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `round_robin`: each in turn. See [`RoundRobin`]. The default, because it
    /// is what people expect who have not chosen.
    #[default]
    RoundRobin,
    /// `weighted_round_robin`: each in turn, as often as its weight says. See
    /// [`WeightedRoundRobin`].
    WeightedRoundRobin,
    /// `random`: any. See [`Random`].
    Random,
    /// `weighted_random`: any, as often as its weight says. See
    /// [`WeightedRandom`].
    WeightedRandom,
    /// `least_request`: the less busy of two drawn at random. See
    /// [`LeastRequest`].
    LeastRequest,
    /// `full_scan`: the least busy of all. See [`FullScan`].
    FullScan,
    /// `peak_ewma`: the quicker and less busy of two drawn at random. See
    /// [`PeakEwma`].
    PeakEwma,
    /// `ring_hash`: the same for the same key. See [`RingHash`].
    RingHash,
    /// `maglev`: the same for the same key, more even. See [`Maglev`].
    Maglev,
    /// `rendezvous`: the same for the same key, moving the fewest. See
    /// [`Rendezvous`].
    Rendezvous,
}

impl Algorithm {
    /// All of them, in the order in which documentation lists them.
    pub const ALL: &'static [Self] = &[
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::Random,
        Self::WeightedRandom,
        Self::LeastRequest,
        Self::FullScan,
        Self::PeakEwma,
        Self::RingHash,
        Self::Maglev,
        Self::Rendezvous,
    ];

    /// Its name in configuration and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::Random => "random",
            Self::WeightedRandom => "weighted_random",
            Self::LeastRequest => "least_request",
            Self::FullScan => "full_scan",
            Self::PeakEwma => "peak_ewma",
            Self::RingHash => "ring_hash",
            Self::Maglev => "maglev",
            Self::Rendezvous => "rendezvous",
        }
    }

    /// Whether it keeps requests of the same hash together.
    pub fn hashes(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev | Self::Rendezvous)
    }

    /// Whether weights make a difference to it.
    pub fn weighs(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::Random)
    }
}

impl BalancerFactory for Algorithm {
    fn build(&self, candidates: &[Candidate]) -> Arc<dyn Balancer> {
        match self {
            Self::RoundRobin => Arc::new(RoundRobin::new()),
            Self::WeightedRoundRobin => Arc::new(WeightedRoundRobin::new(candidates)),
            Self::Random => Arc::new(Random::new(candidates)),
            Self::WeightedRandom => Arc::new(WeightedRandom::new(candidates)),
            Self::LeastRequest => Arc::new(LeastRequest::new(candidates)),
            Self::FullScan => Arc::new(FullScan::new()),
            Self::PeakEwma => Arc::new(PeakEwma::new(candidates)),
            Self::RingHash => Arc::new(RingHash::new(candidates)),
            Self::Maglev => Arc::new(Maglev::new(candidates)),
            Self::Rendezvous => Arc::new(Rendezvous::new(candidates)),
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
            let between = match i {
                0 => "",
                _ if i + 1 == Algorithm::ALL.len() => " or ",
                _ => ", ",
            };
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
        assert!(error.starts_with("`fastest` is not an algorithm; use round_robin, "), "{error}");
        assert!(error.ends_with(", maglev or rendezvous"), "{error}");
    }
}
