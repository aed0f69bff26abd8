use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use lb_core::http::End;
use serde::Serialize;

/// How far back figures look.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// What is kept apart, and forgotten at once.
const SLOT: Duration = Duration::from_secs(1);

/// The longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// What has ended within the last seconds.
pub(super) struct Window {
    slots: VecDeque<Slot>,
    tick: Counts,
}

struct Slot {
    begun: Instant,
    counts: Counts,
    /// In microseconds.
    times: Histogram<u32>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    requests: u64,
    failed: u64,
}

/// Figures of a window and of its last tick.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    /// Those of the last tick.
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Failed ones a second.
    pub(crate) errors: f64,
    /// Times, in milliseconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { slots: VecDeque::new(), tick: Counts::default() }
    }

    /// A request has ended.
    pub(super) fn add(&mut self, end: &End, now: Instant) {
        let slot = match self.slots.back_mut() {
            Some(slot) if now.saturating_duration_since(slot.begun) < SLOT => slot,
            // One digit, which is some 6 %, takes the least room.
            _ => match Histogram::new_with_bounds(1, LONGEST, 1) {
                Ok(times) => {
                    self.slots.push_back(Slot { begun: now, counts: Counts::default(), times });
                    let last = self.slots.len() - 1;
                    &mut self.slots[last]
                }
                // Only bounds that make no sense are refused.
                Err(_) => return,
            },
        };
        slot.times.saturating_record(u64::try_from(end.took.as_micros()).unwrap_or(LONGEST));
        for counts in [&mut slot.counts, &mut self.tick] {
            counts.requests += 1;
            counts.failed += u64::from(end.failed);
        }
    }

    /// What there is to say, over as much of the window as has been `watched`.
    pub(super) fn figures(&self, watched: Duration) -> Figures {
        let mut counts = Counts::default();
        let mut times: Option<Histogram<u32>> = None;
        for slot in &self.slots {
            counts.requests += slot.counts.requests;
            counts.failed += slot.counts.failed;
            match &mut times {
                // Their bounds are the same.
                Some(all) => drop(all.add(&slot.times)),
                None => times = Some(slot.times.clone()),
            }
        }
        let seconds = watched.min(WINDOW).as_secs_f64().max(f64::EPSILON);
        let quantile = |share| {
            let times = times.as_ref()?;
            Some(times.value_at_quantile(share) as f64 / 1000.0)
        };
        Figures {
            requests: self.tick.requests,
            failed: self.tick.failed,
            rate: rounded(counts.requests as f64 / seconds),
            errors: rounded(counts.failed as f64 / seconds),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
        }
    }

    /// Begins another tick, and forgets what is too long ago. Says whether there is
    /// anything left.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        self.tick = Counts::default();
        self.slots.retain(|slot| now.saturating_duration_since(slot.begun) < WINDOW);
        !self.slots.is_empty()
    }
}

/// To a thousandth, for who reads it.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(took: u64, failed: bool) -> End {
        End::new(None, None, Duration::from_millis(took), failed)
    }

    #[test]
    fn figures_are_of_the_tick_and_of_the_window() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut window = Window::new();
        (1..=98).for_each(|_| window.add(&end(10, false), at(0)));
        assert!(window.turn(at(1)));
        window.add(&end(1000, true), at(1));
        window.add(&end(1000, false), at(1));

        let figures = window.figures(Duration::from_secs(2));
        assert_eq!((figures.requests, figures.failed), (2, 1));
        assert_eq!((figures.rate, figures.errors), (50.0, 0.5));
        let near = |found: Option<f64>, ms: f64| (found.unwrap() / ms - 1.0).abs() < 0.07;
        assert!(near(figures.p50, 10.0) && near(figures.p90, 10.0), "{figures:?}");
        assert!(near(figures.p99, 1000.0), "{figures:?}");

        assert!(window.turn(at(10)), "what came in the second second is still there");
        let figures = window.figures(Duration::from_secs(60));
        assert_eq!((figures.requests, figures.rate, figures.errors), (0, 0.2, 0.1));
        assert!(!window.turn(at(11)));
        let figures = window.figures(Duration::from_secs(60));
        assert_eq!((figures.rate, figures.p50), (0.0, None));
    }

    #[test]
    fn a_time_beyond_all_bounds_counts_as_the_longest() {
        let mut window = Window::new();
        window.add(&end(u64::MAX, false), Instant::now());
        let hours = window.figures(WINDOW).p50.unwrap() / 3_600_000.0;
        assert!((0.9..1.1).contains(&hours), "{hours}");
    }
}
