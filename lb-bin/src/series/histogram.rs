use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use metrics::HistogramFn;

/// Counts of values by bucket, and their sum.
///
/// Recording is two additions to a cache line that no other thread writes to, as a
/// rule: each of the threads has a shard of its own, up to [`SHARDS_MAX`]. Its size is
/// fixed, and nothing is kept of a value but its bucket.
pub(super) struct Histogram {
    /// Upper bounds of the buckets, growing; there is one bucket more.
    bounds: &'static [f64],
    /// Those of the first shard, then those of the second, and so on. A shard is a sum,
    /// as bits, and the count of each bucket.
    lines: Box<[Line]>,
    lines_per_shard: usize,
}

/// What a core fetches from another one at once.
#[repr(align(128))]
#[derive(Default)]
struct Line([AtomicU64; SLOTS]);

const SLOTS: usize = 16;

/// More threads than that share some.
const SHARDS_MAX: usize = 16;

/// A power of two. Beside the workers there are the two threads of the control
/// runtime.
static SHARDS: LazyLock<usize> = LazyLock::new(|| {
    let threads = thread::available_parallelism().map_or(1, usize::from) + 2;
    threads.next_power_of_two().min(SHARDS_MAX)
});

thread_local! {
    /// The number of this thread among those that have recorded anything.
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// What a histogram shows.
pub(super) struct Snapshot {
    /// For each upper bound, how many values are no greater.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let lines_per_shard = (1 + bounds.len() + 1).div_ceil(SLOTS);
        let lines = (0..*SHARDS * lines_per_shard).map(|_| Line::default()).collect();
        Self { bounds, lines, lines_per_shard }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut counts = vec![0; self.bounds.len() + 1];
        let mut sum = 0.0;
        for shard in 0..self.lines.len() / self.lines_per_shard {
            sum += f64::from_bits(self.slot(shard, 0).load(Ordering::Relaxed));
            for (bucket, count) in counts.iter_mut().enumerate() {
                *count += self.slot(shard, 1 + bucket).load(Ordering::Relaxed);
            }
        }
        let mut count = 0;
        let mut up_to = counts.into_iter().map(|more| {
            count += more;
            count
        });
        let buckets = self.bounds.iter().copied().zip(&mut up_to).collect();
        let count = up_to.last().unwrap_or_default();
        Snapshot { buckets, count, sum }
    }

    fn slot(&self, shard: usize, slot: usize) -> &AtomicU64 {
        &self.lines[shard * self.lines_per_shard + slot / SLOTS].0[slot % SLOTS]
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let shard = THREAD.with(|thread| thread & (*SHARDS - 1));
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.slot(shard, 1 + bucket).fetch_add(count as u64, Ordering::Relaxed);
        let sum = self.slot(shard, 0);
        let add = |bits| Some((f64::from_bits(bits) + value * count as f64).to_bits());
        // It always adds.
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[f64] =
        &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];

    #[test]
    fn a_value_counts_in_every_bucket_that_has_room_for_it() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for value in [0.0, 0.1, 0.2, 1.0, 1.5] {
            histogram.record(value);
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.buckets, [(0.1, 2), (1.0, 4)]);
        assert_eq!(seen.count, 5);
        assert!((seen.sum - 2.8).abs() < 1e-9, "{}", seen.sum);
    }

    #[test]
    fn nothing_is_lost_where_more_threads_record_than_there_are_shards() {
        const EACH: usize = 1000;
        let threads = SHARDS_MAX * 2;
        let histogram = Histogram::new(BOUNDS);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for at in 0..EACH {
                        histogram.record(BOUNDS[at % BOUNDS.len()]);
                    }
                    histogram.record(1e9);
                });
            }
        });
        let seen = histogram.snapshot();
        assert_eq!(seen.count, (threads * (EACH + 1)) as u64);
        let most = seen.buckets.last().unwrap().1;
        assert_eq!(most, (threads * EACH) as u64);
        assert!(seen.sum >= 1e9 * threads as f64);
    }
}
