use std::{f64::consts::TAU, fmt, str::FromStr};

use anyhow::bail;
use fastrand::Rng;
use lb_core::balance::hash;

/// How much work requests are, relative to their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// All the same.
    Constant,
    /// Memoryless: many small, few large; the standard deviation is the mean.
    Exponential,
    /// Log-normal with a sigma of 1: a longer tail.
    LogNormal,
    /// One in a hundred is twenty times the others.
    Bimodal,
}

impl Distribution {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Constant, Self::Exponential, Self::LogNormal, Self::Bimodal];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Exponential => "exponential",
            Self::LogNormal => "log_normal",
            Self::Bimodal => "bimodal",
        }
    }

    /// The work of one request; the mean is 1.
    pub fn sample(self, rng: &mut Rng) -> f64 {
        const LARGE: f64 = 20.0;
        const SMALL: f64 = 1.0 / (0.99 + 0.01 * LARGE);
        match self {
            Self::Constant => 1.0,
            Self::Exponential => exponential(rng),
            Self::LogNormal => (normal(rng) - 0.5).exp(),
            Self::Bimodal if rng.f64() < 0.01 => LARGE * SMALL,
            Self::Bimodal => SMALL,
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Distribution {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let Some(found) = Self::ALL.iter().find(|distribution| distribution.name() == name) else {
            let names: Vec<_> = Self::ALL.iter().map(|distribution| distribution.name()).collect();
            bail!("`{name}` is not a distribution; use {}", names.join(", "));
        };
        Ok(*found)
    }
}

/// A draw from the exponential distribution of mean 1.
pub(super) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// Box and Muller's draw from the normal distribution.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// The keys that requests are for, some of which may be asked for more often.
#[derive(Debug)]
pub struct Keys {
    hashes: Vec<u64>,
    /// The part of all requests that is for this key or one before it.
    cumulative: Vec<f64>,
}

impl Keys {
    /// So many keys, the nth of which is asked for as often as 1/n^`skew`:
    /// Zipf's law. They are equally popular with a skew of 0.
    pub fn new(count: usize, skew: f64) -> Self {
        let popularity = |n: usize| (n as f64).powf(-skew);
        let total: f64 = (1..=count).map(popularity).sum();
        let cumulative = (1..=count).scan(0.0, |sum, n| {
            *sum += popularity(n) / total;
            Some(*sum)
        });
        let hash = |n: usize| hash::of(&n.to_le_bytes());
        Self { cumulative: cumulative.collect(), hashes: (0..count).map(hash).collect() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }

    /// The key of one request.
    pub fn sample(&self, rng: &mut Rng) -> usize {
        let at = rng.f64();
        self.cumulative.partition_point(|&up_to| up_to <= at).min(self.count() - 1)
    }

    /// What balancers know of a key.
    pub fn hash(&self, key: usize) -> u64 {
        self.hashes[key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_1_and_deviations_what_theory_says() {
        let bimodal = (0.99 * 0.19_f64.powi(2) + 0.01 * 18.81_f64.powi(2)).sqrt() / 1.19;
        let log_normal = (std::f64::consts::E - 1.0).sqrt();
        let expected = [0.0, 1.0, log_normal, bimodal];
        for (&distribution, expected) in Distribution::ALL.iter().zip(expected) {
            let mut rng = Rng::with_seed(1);
            let samples: Vec<f64> = (0..300_000).map(|_| distribution.sample(&mut rng)).collect();
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            let square = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            let deviation = (square / samples.len() as f64).sqrt();
            assert!((mean - 1.0).abs() < 0.01, "{distribution}: mean {mean}");
            assert!((deviation - expected).abs() < 0.05, "{distribution}: {deviation}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for &distribution in Distribution::ALL {
            assert_eq!(distribution.name().parse::<Distribution>().unwrap(), distribution);
        }
        let error = "normal".parse::<Distribution>().unwrap_err().to_string();
        assert!(error.contains("log_normal"), "{error}");
    }

    #[test]
    fn the_first_key_of_zipf_is_the_most_asked_for() {
        let keys = Keys::new(100, 1.0);
        let mut rng = Rng::with_seed(1);
        let mut counts = vec![0; keys.count()];
        for _ in 0..100_000 {
            counts[keys.sample(&mut rng)] += 1;
        }
        // 1 / (1 + 1/2 + … + 1/100) = 19.3 %, and half of that.
        assert!((18_900..19_700).contains(&counts[0]), "{counts:?}");
        assert!((9_300..10_000).contains(&counts[1]), "{counts:?}");
        assert!(counts[99] > 0);
    }
}
