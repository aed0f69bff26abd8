use crate::balance::OVERPROVISIONING;

/// Whether so few endpoints are healthy that health is ignored.
///
/// When most of a pool fails its checks, sending everything to the rest takes
/// the rest down as well, and what fails may well be the checks. So below the
/// threshold all endpoints are used again, as Envoy does
/// ([panic threshold](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold)).
#[derive(Clone, Debug)]
pub struct Panic {
    threshold: f64,
    on: bool,
}

impl Panic {
    /// The share of endpoints below which health is ignored, unless said
    /// otherwise.
    pub const DEFAULT_THRESHOLD: f64 = 0.5;

    /// No panic yet. `threshold` is a share from 0, for never, to 1.
    pub fn new(threshold: f64) -> Self {
        Self { threshold: threshold.clamp(0.0, 1.0), on: false }
    }

    /// Whether health is ignored.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Takes in how many endpoints their source wants used, and how many of these
    /// are not known to be bad, for each priority; says whether this began or
    /// ended a panic.
    ///
    /// Where there are several priorities, a level that is down is what the next
    /// one is for. So there is no panic while the levels together can carry all
    /// requests, by the rule by which they
    /// [spill over](crate::balance::Cluster).
    ///
    /// An endpoint whose first check has not ended counts as good. Otherwise
    /// every start would begin with a panic, in which requests go to endpoints
    /// that nobody has looked at.
    pub fn update(&mut self, levels: &[(usize, usize)]) -> Option<bool> {
        let wanted: usize = levels.iter().map(|(wanted, _)| wanted).sum();
        let good: usize = levels.iter().map(|(_, good)| good).sum();
        let part = |&(wanted, good): &(usize, usize)| {
            (OVERPROVISIONING * good as f64 / wanted.max(1) as f64).min(1.0)
        };
        let carried = levels.len() > 1 && levels.iter().map(part).sum::<f64>() >= 1.0;
        let on = !carried && (good as f64) < self.threshold * wanted as f64;
        (std::mem::replace(&mut self.on, on) != on).then_some(on)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn begins_below_half_and_ends_at_half() {
        let mut panic = Panic::new(Panic::DEFAULT_THRESHOLD);
        assert_eq!(panic.update(&[(4, 2)]), None);
        assert_eq!(panic.update(&[(4, 1)]), Some(true));
        assert_eq!(panic.update(&[(4, 0)]), None);
        assert_eq!(panic.update(&[(4, 2)]), Some(false));
    }

    #[test]
    fn a_level_that_is_down_is_no_panic_while_the_next_one_carries_it() {
        let mut panic = Panic::new(0.5);
        assert_eq!(panic.update(&[(4, 0), (2, 2)]), None);
        assert_eq!(panic.update(&[(4, 0), (2, 1)]), Some(true));
        assert_eq!(panic.update(&[(4, 2), (2, 1)]), Some(false));
    }

    #[test]
    fn an_empty_pool_is_no_panic() {
        assert_eq!(Panic::new(0.5).update(&[(0, 0)]), None);
    }

    proptest! {
        #[test]
        fn never_with_a_threshold_of_0_and_always_told_once(
            threshold in 0.0..=1.0,
            pools in proptest::collection::vec((0_usize..100, 0_usize..100), 1..50),
        ) {
            let (mut never, mut panic) = (Panic::new(0.0), Panic::new(threshold));
            let mut told = false;
            for (wanted, good) in pools {
                let good = good.min(wanted);
                prop_assert_eq!(never.update(&[(wanted, good)]), None);
                if let Some(on) = panic.update(&[(wanted, good)]) {
                    prop_assert_ne!(on, told);
                    told = on;
                }
                prop_assert_eq!(panic.is_on(), told);
                // All good is never a panic, whatever the threshold.
                prop_assert!(!(told && good == wanted));
            }
        }
    }
}
