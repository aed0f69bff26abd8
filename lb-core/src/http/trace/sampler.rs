use std::sync::atomic::{AtomicU64, Ordering};

/// Says yes to a share of those who ask.
pub(super) struct Sampler(AtomicU64);

/// The share of all.
const ALL: u64 = 1 << 32;

impl Sampler {
    pub(super) fn new(share: f64) -> Self {
        let sampler = Self(AtomicU64::new(0));
        sampler.set(share);
        sampler
    }

    pub(super) fn set(&self, share: f64) {
        #[allow(clippy::cast_possible_truncation, reason = "it is no more than ALL")]
        let of_all = (share.clamp(0.0, 1.0) * ALL as f64) as u64;
        self.0.store(of_all, Ordering::Relaxed);
    }

    pub(super) fn share(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / ALL as f64
    }

    pub(super) fn says_yes(&self) -> bool {
        let share = self.0.load(Ordering::Relaxed);
        // Dice cost more than this look.
        share > 0 && u64::from(fastrand::u32(..)) < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(sampler: &Sampler) -> usize {
        fastrand::seed(7);
        (0..10_000).filter(|_| sampler.says_yes()).count()
    }

    #[test]
    fn it_is_the_share_that_was_said() {
        let sampler = Sampler::new(1.0);
        assert_eq!((yes(&sampler), sampler.share()), (10_000, 1.0));
        for (share, about) in [(0.0, 0..1), (0.01, 70..130), (0.5, 4_800..5_200)] {
            sampler.set(share);
            assert!(about.contains(&yes(&sampler)), "{share}");
        }
        sampler.set(f64::NAN);
        assert_eq!(yes(&sampler), 0);
    }
}
