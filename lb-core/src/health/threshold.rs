/// Turns a run of check results into a status that doesn't flap.
///
/// The first result decides at once, as Envoy has it: a new endpoint is either
/// used or not, and there is nothing yet to weigh the result against. From then
/// on `fall` failures in a row make it unhealthy and `rise` successes in a row
/// healthy again. Anything in between starts the run anew.
#[derive(Clone, Debug)]
pub struct Threshold {
    rise: u32,
    fall: u32,
    status: Status,
    /// Results in a row that speak against the status.
    against: u32,
}

/// What active checks say of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No check has ended yet.
    Pending,
    /// It passes its checks.
    Healthy,
    /// It fails its checks.
    Unhealthy,
}

/// A status that has just been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// The endpoint may be picked from now on.
    Healthy,
    /// The endpoint is to be left alone from now on.
    Unhealthy,
}

impl Threshold {
    /// A threshold that has seen no result. 0 is read as 1.
    pub fn new(rise: u32, fall: u32) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), status: Status::Pending, against: 0 }
    }

    /// The status by all results so far.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Takes in one result; says whether the status has changed by it.
    pub fn observe(&mut self, passed: bool) -> Option<Transition> {
        let needed = match (self.status, passed) {
            (Status::Pending, _) => 1,
            (Status::Healthy, false) => self.fall,
            (Status::Unhealthy, true) => self.rise,
            (Status::Healthy, true) | (Status::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        let (status, transition) = if passed {
            (Status::Healthy, Transition::Healthy)
        } else {
            (Status::Unhealthy, Transition::Unhealthy)
        };
        self.status = status;
        Some(transition)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// `n` results that do not pass, after one that does, and the other way round.
    fn settled(passed: bool, rise: u32, fall: u32) -> Threshold {
        let mut threshold = Threshold::new(rise, fall);
        threshold.observe(passed);
        threshold
    }

    #[test]
    fn the_first_result_decides() {
        assert_eq!(Threshold::new(2, 3).observe(true), Some(Transition::Healthy));
        assert_eq!(Threshold::new(2, 3).observe(false), Some(Transition::Unhealthy));
    }

    #[test]
    fn falls_after_three_and_rises_after_two() {
        let mut threshold = settled(true, 2, 3);
        let seen: Vec<_> = [false, false, false, true, true]
            .into_iter()
            .map(|passed| threshold.observe(passed))
            .collect();
        let expected = [None, None, Some(Transition::Unhealthy), None, Some(Transition::Healthy)];
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn runs_shorter_than_the_threshold_never_flip(
            healthy: bool,
            rise in 2_u32..6,
            fall in 2_u32..6,
            runs in vec((1_u32..6, 1_u32..6), 1..50),
        ) {
            let mut threshold = settled(healthy, rise, fall);
            let limit = if healthy { fall } else { rise };
            for (against, with) in runs {
                for _ in 0..against.min(limit - 1) {
                    prop_assert_eq!(threshold.observe(!healthy), None);
                }
                for _ in 0..with {
                    prop_assert_eq!(threshold.observe(healthy), None);
                }
            }
        }

        #[test]
        fn a_full_run_always_decides(
            results in vec(any::<bool>(), 0..50),
            rise in 1_u32..6,
            fall in 1_u32..6,
            passed: bool,
        ) {
            let mut threshold = Threshold::new(rise, fall);
            for result in results {
                threshold.observe(result);
            }
            for _ in 0..if passed { rise } else { fall } {
                threshold.observe(passed);
            }
            let expected = if passed { Status::Healthy } else { Status::Unhealthy };
            prop_assert_eq!(threshold.status(), expected);
        }

        #[test]
        fn transitions_alternate(results in vec(any::<bool>(), 0..200)) {
            let mut threshold = Threshold::new(2, 3);
            let mut last = None;
            for transition in results.into_iter().filter_map(|passed| threshold.observe(passed)) {
                prop_assert_ne!(last.replace(transition), Some(transition));
            }
        }
    }
}
