use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::clock::duration_nanos as nanos;

/// The latencies of late, in buckets that grow with what they hold, and the
/// percentile of them.
///
/// Two histograms take turns: one is written while the other keeps what was
/// before, so what is known is between one and two periods old. All of it is
/// atomics, as every request writes here. The `hdrhistogram` crate would need a
/// lock around it, and its precision is of no use for a timer that goes in
/// milliseconds. Samples that come in while the turn passes may be lost.
#[derive(Debug)]
pub(super) struct Latencies {
    rules: Rules,
    born: Instant,
    /// How many periods have passed as of the last sample.
    turn: AtomicU64,
    histograms: [Histogram; 2],
    /// The percentile in nanoseconds, 0 before it is known, and of how many
    /// samples it is.
    known: AtomicU64,
    known_of: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// From 0 to 1.
    pub(super) percentile: f64,
    pub(super) min_samples: u64,
    /// Not zero.
    pub(super) period: Duration,
}

#[derive(Debug)]
struct Histogram {
    count: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

/// 32 buckets for each doubling: each is at most that part as wide as what it
/// holds, so the percentile is at most so much too high.
const SPLIT: u32 = 5;
/// The first buckets are 2^16 ns wide: 66 µs, a fraction of what a timer can do.
const UNIT: u32 = 16;
/// The last bucket takes all from 4 minutes on. Both histograms take 4.5 KiB.
const BUCKETS: usize = 576;

impl Latencies {
    pub(super) fn new(rules: Rules, born: Instant) -> Self {
        Self {
            rules,
            born,
            turn: AtomicU64::new(0),
            histograms: [Histogram::new(), Histogram::new()],
            known: AtomicU64::new(0),
            known_of: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, latency: Duration, now: Instant) {
        let turn = self.turn(now);
        self.histogram(turn).observe(latency);
    }

    /// The percentile, once there are enough samples for one.
    pub(super) fn percentile(&self, now: Instant) -> Option<Duration> {
        self.turn(now);
        let count = self.count();
        if count < self.rules.min_samples.max(1) {
            return None;
        }
        let mut known = self.known.load(Ordering::Relaxed);
        // Counting is a look at every bucket, and a few samples change little.
        if known == 0 || count.abs_diff(self.known_of.load(Ordering::Relaxed)) > count / 32 {
            known = self.find(count);
            self.known.store(known, Ordering::Relaxed);
            self.known_of.store(count, Ordering::Relaxed);
        }
        Some(Duration::from_nanos(known))
    }

    fn find(&self, count: u64) -> u64 {
        let [a, b] = &self.histograms;
        let mut above = count as f64 * (1.0 - self.rules.percentile);
        for at in (0..BUCKETS).rev() {
            above -= f64::from(a.buckets[at].load(Ordering::Relaxed));
            above -= f64::from(b.buckets[at].load(Ordering::Relaxed));
            if above < 0.0 {
                return upper_edge(at);
            }
        }
        upper_edge(0)
    }

    fn count(&self) -> u64 {
        self.histograms.iter().map(|histogram| histogram.count.load(Ordering::Relaxed)).sum()
    }

    /// The turn as of `now`. Who notices first that it has passed clears the
    /// histogram whose turn it is.
    fn turn(&self, now: Instant) -> u64 {
        let passed = nanos(now.saturating_duration_since(self.born));
        let turn = passed / nanos(self.rules.period).max(1);
        let known = self.turn.load(Ordering::Relaxed);
        if turn <= known { known } else { self.pass(turn) }
    }

    /// Another thread may have come from a turn in between, so what counts is
    /// which turn this one has ended.
    fn pass(&self, turn: u64) -> u64 {
        let before = self.turn.fetch_max(turn, Ordering::Relaxed);
        if before < turn {
            self.histogram(turn).clear();
            if turn - before > 1 {
                self.histogram(turn - 1).clear();
            }
        }
        turn.max(before)
    }

    fn histogram(&self, turn: u64) -> &Histogram {
        let [even, odd] = &self.histograms;
        if turn.is_multiple_of(2) { even } else { odd }
    }
}

impl Histogram {
    fn new() -> Self {
        let buckets = [const { AtomicU32::new(0) }; BUCKETS];
        Self { count: AtomicU64::new(0), buckets }
    }

    fn observe(&self, latency: Duration) {
        self.buckets[bucket(nanos(latency))].fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

fn bucket(nanos: u64) -> usize {
    let units = nanos >> UNIT;
    let doublings = (u64::BITS - units.leading_zeros()).saturating_sub(SPLIT + 1);
    let at = u64::from(doublings << SPLIT) + (units >> doublings);
    usize::try_from(at).map_or(BUCKETS - 1, |at| at.min(BUCKETS - 1))
}

/// Where the next bucket begins.
fn upper_edge(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    let doublings = (next >> SPLIT).saturating_sub(1);
    (next - (doublings << SPLIT)) << doublings << UNIT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules =
        Rules { percentile: 0.95, min_samples: 100, period: Duration::from_secs(30) };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn nothing_is_known_before_there_are_enough_samples() {
        let start = Instant::now();
        let latencies = Latencies::new(RULES, start);
        (1..100).for_each(|n| latencies.observe(ms(n), start));
        assert_eq!(latencies.percentile(start), None);
        latencies.observe(ms(100), start);
        let p95 = latencies.percentile(start).unwrap();
        assert!((ms(95)..ms(95) * 33 / 32).contains(&p95), "{p95:?}");
    }

    #[test]
    fn follows_what_changes() {
        let start = Instant::now();
        let latencies = Latencies::new(RULES, start);
        (0..200).for_each(|_| latencies.observe(ms(10), start));
        assert!(latencies.percentile(start).unwrap() < ms(12));
        (0..20).for_each(|_| latencies.observe(ms(100), start));
        assert!(latencies.percentile(start).unwrap() >= ms(100));
    }

    #[test]
    fn samples_are_forgotten_after_one_to_two_periods() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let latencies = Latencies::new(RULES, start);
        (0..100).for_each(|_| latencies.observe(ms(10), at(29)));
        assert!(latencies.percentile(at(59)).is_some());
        assert_eq!(latencies.percentile(at(60)), None);
        (0..100).for_each(|_| latencies.observe(ms(10), at(60)));
        assert!(latencies.percentile(at(60)).is_some());
        assert_eq!(latencies.percentile(at(630)), None, "after a long silence");
        (0..100).for_each(|_| latencies.observe(ms(10), at(630)));
        assert_eq!(latencies.percentile(at(1230)), None, "and after another one");
    }

    /// Two threads notice that time has passed, and the one that is a turn behind
    /// comes first.
    #[test]
    fn who_ends_a_turn_clears_though_another_came_first() {
        let start = Instant::now();
        let latencies = Latencies::new(RULES, start);
        (0..100).for_each(|_| latencies.observe(ms(10), start));
        assert_eq!(latencies.pass(1), 1);
        assert_eq!(latencies.count(), 100);
        assert_eq!(latencies.pass(2), 2);
        assert_eq!(latencies.count(), 0, "two periods old");
        latencies.observe(ms(10), start + RULES.period * 2);
        assert_eq!(latencies.pass(1), 2, "who comes late clears nothing");
        assert_eq!(latencies.count(), 1);
    }

    #[test]
    fn threads_lose_no_samples() {
        let start = Instant::now();
        let latencies = Latencies::new(RULES, start);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|n| latencies.observe(ms(n), start)));
            }
        });
        assert_eq!(latencies.count(), 4000);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_below_its_edge(value in 0..(1_u64 << 47), scale in 0..47_u32) {
            let value = value >> scale;
            let at = bucket(value);
            prop_assert!(at < BUCKETS);
            if at < BUCKETS - 1 {
                prop_assert!(value < upper_edge(at), "{value} in {at}");
                prop_assert!(at == 0 || value >= upper_edge(at - 1), "{value} in {at}");
                prop_assert!(upper_edge(at) - value <= value / 32 + (1 << UNIT));
            }
        }

        /// Within the precision of a bucket it is what sorting would find.
        #[test]
        fn agrees_with_sorting(mut samples in prop::collection::vec(0..100_000_u64, 100..300)) {
            let start = Instant::now();
            let latencies = Latencies::new(RULES, start);
            samples.iter().for_each(|n| latencies.observe(ms(*n), start));
            samples.sort_unstable();
            let exact = ms(samples[(samples.len() * 95).div_ceil(100) - 1]);
            let found = latencies.percentile(start).unwrap();
            prop_assert!(found >= exact && found <= exact * 33 / 32 + ms(1), "{found:?} {exact:?}");
        }
    }
}
