use std::{fmt, str::FromStr, sync::Arc};

use anyhow::bail;
use lb_core::balance::{
    Algorithm, Balancer, BalancerFactory, Candidate, Maglev, Rendezvous, RingHash,
};

/// Who balances: an [`Algorithm`], or one of those that hash with bounded loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contender {
    /// As its name says.
    Algorithm(Algorithm),
    /// [`RingHash`] with bounded loads.
    RingHashBounded,
    /// [`Maglev`] likewise.
    MaglevBounded,
    /// [`Rendezvous`] likewise.
    RendezvousBounded,
}

impl Contender {
    /// All of them, in the order in which they are shown.
    pub fn all() -> Vec<Self> {
        let bounded = [Self::RingHashBounded, Self::MaglevBounded, Self::RendezvousBounded];
        Algorithm::ALL.iter().copied().map(Self::Algorithm).chain(bounded).collect()
    }

    /// Makes its balancers. Where loads are bounded, a server has no more than
    /// `bound` times its share of the requests in flight.
    pub fn factory(self, bound: f64) -> impl BalancerFactory {
        move |candidates: &[Candidate]| -> Arc<dyn Balancer> {
            match self {
                Self::Algorithm(algorithm) => algorithm.build(candidates),
                Self::RingHashBounded => {
                    Arc::new(RingHash::new(candidates).bounded(bound, candidates))
                }
                Self::MaglevBounded => Arc::new(Maglev::new(candidates).bounded(bound, candidates)),
                Self::RendezvousBounded => {
                    Arc::new(Rendezvous::new(candidates).bounded(bound, candidates))
                }
            }
        }
    }

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Algorithm(algorithm) => algorithm.name(),
            Self::RingHashBounded => "ring_hash_bounded",
            Self::MaglevBounded => "maglev_bounded",
            Self::RendezvousBounded => "rendezvous_bounded",
        }
    }
}

impl From<Algorithm> for Contender {
    fn from(algorithm: Algorithm) -> Self {
        Self::Algorithm(algorithm)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Contender {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let all = Self::all();
        let Some(found) = all.iter().find(|contender| contender.name() == name) else {
            let names: Vec<_> = all.iter().map(|contender| contender.name()).collect();
            bail!("`{name}` is not an algorithm; use {}", names.join(", "));
        };
        Ok(*found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for contender in Contender::all() {
            assert_eq!(contender.name().parse::<Contender>().unwrap(), contender);
        }
        let error = "fastest".parse::<Contender>().unwrap_err().to_string();
        assert!(error.contains("round_robin, ") && error.ends_with("_bounded"), "{error}");
    }
}
