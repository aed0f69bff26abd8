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

    /// Takes in how many endpoints their source wants used, and how many of
    /// these are not known to be bad; says whether this began or ended a panic.
    ///
    /// An endpoint whose first check has not ended counts as good. Otherwise
    /// every start would begin with a panic, in which requests go to endpoints
    /// that nobody has looked at.
    pub fn update(&mut self, wanted: usize, good: usize) -> Option<bool> {
        let on = (good as f64) < self.threshold * wanted as f64;
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
        assert_eq!(panic.update(4, 2), None);
        assert_eq!(panic.update(4, 1), Some(true));
        assert_eq!(panic.update(4, 0), None);
        assert_eq!(panic.update(4, 2), Some(false));
    }

    #[test]
    fn an_empty_pool_is_no_panic() {
        assert_eq!(Panic::new(0.5).update(0, 0), None);
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
                prop_assert_eq!(never.update(wanted, good), None);
                if let Some(on) = panic.update(wanted, good) {
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
