//! When each request is due. Pure.

use std::time::Duration;

/// What the rate does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Stays the same.
    Steady,
    /// Rises evenly from nothing.
    Ramp,
    /// Is a fifth, and five times that in the middle fifth of the time.
    Spike,
}

/// Requests over time.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    phases: Vec<Phase>,
}

/// A time in which the rate changes evenly.
#[derive(Clone, Copy, Debug)]
struct Phase {
    seconds: f64,
    /// Requests per second at its beginning and at its end.
    from: f64,
    to: f64,
}

impl Schedule {
    /// A shape, its highest rate, and for how long requests are due.
    pub(crate) fn new(shape: Shape, rate: f64, duration: Duration) -> Self {
        let phase = |share, from, to| Phase { seconds: duration.as_secs_f64() * share, from, to };
        let low = rate / 5.0;
        let phases = match shape {
            Shape::Steady => vec![phase(1.0, rate, rate)],
            Shape::Ramp => vec![phase(1.0, 0.0, rate)],
            Shape::Spike => {
                vec![phase(0.4, low, low), phase(0.2, rate, rate), phase(0.4, low, low)]
            }
        };
        Self { phases }
    }

    /// When the request of this number is due, counted from the beginning, as the
    /// numbers are; nothing if it would be after the end.
    pub(crate) fn due(&self, number: u64) -> Option<Duration> {
        let mut left = number as f64;
        let mut before = 0.0;
        for phase in &self.phases {
            // Of rounding, which must not add one at the end.
            const LITTLE: f64 = 1e-6;
            if left < phase.requests() - LITTLE {
                return Some(Duration::from_secs_f64(before + phase.until(left)));
            }
            left -= phase.requests();
            before += phase.seconds;
        }
        None
    }
}

impl Phase {
    fn requests(&self) -> f64 {
        self.seconds * (self.from + self.to) / 2.0
    }

    /// Seconds until so many requests are due: the root of
    /// `from·t + (to − from)·t²/(2·seconds) = requests`, in the form that a rate that
    /// stays the same doesn't make a division by zero.
    fn until(&self, requests: f64) -> f64 {
        if requests <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.seconds;
        2.0 * requests / (self.from + (self.from * self.from + 2.0 * slope * requests).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(shape: Shape, rate: f64, seconds: u64) -> Vec<f64> {
        let schedule = Schedule::new(shape, rate, Duration::from_secs(seconds));
        (0..).map_while(|number| schedule.due(number)).map(|due| due.as_secs_f64()).collect()
    }

    fn within(all: &[f64], from: f64, to: f64) -> usize {
        all.iter().filter(|due| (from..to).contains(*due)).count()
    }

    #[test]
    fn steady_is_even() {
        let all = all(Shape::Steady, 200.0, 60);
        assert_eq!(all.len(), 12_000);
        assert_eq!((all[0], all[200]), (0.0, 1.0));
    }

    #[test]
    fn a_ramp_rises_from_nothing_to_the_rate() {
        let all = all(Shape::Ramp, 100.0, 10);
        assert_eq!(all.len(), 500);
        assert!(all.is_sorted());
        assert!(within(&all, 0.0, 1.0) <= 6);
        assert!((94..=96).contains(&within(&all, 9.0, 10.0)));
    }

    #[test]
    fn a_spike_is_in_the_middle() {
        let all = all(Shape::Spike, 100.0, 10);
        assert_eq!(all.len(), 80 + 200 + 80);
        assert!(all.is_sorted());
        assert_eq!(within(&all, 0.0, 4.0), 80);
        assert_eq!(within(&all, 4.0, 6.0), 200);
        assert!(all.last().is_some_and(|last| *last < 10.0));
    }
}
