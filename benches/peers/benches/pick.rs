//! What one pick and one call cost on one thread: criterion, then one table.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, measurement::WallTime};
use lb_core::balance::Algorithm::{LeastRequest, PeakEwma, RoundRobin};
use peers::{Echo, Table, balance, call, key, machine, peak_ewma, pending, picks};
use tower::Service;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut bench = Bench { group: criterion.benchmark_group("peers"), lines: Vec::new() };
    bench.lines.push(format!("{:<28}{:>10}{:>10}{:>10}", "lowest ns, endpoints", 10, 1000, 10000));
    let before = machine();
    picks(&mut bench);
    bench.calls("call, nothing between", |_| Echo);
    bench.calls("call, lb-core round_robin", |endpoints| balance(RoundRobin, endpoints));
    bench.calls("call, lb-core least_request", |endpoints| balance(LeastRequest, endpoints));
    bench.calls("call, lb-core peak_ewma", |endpoints| balance(PeakEwma, endpoints));
    bench.calls("call, tower p2c", pending);
    bench.calls("call, tower p2c, peak EWMA", peak_ewma);
    println!("{}\n{before} before, {} after", bench.lines.join("\n"), machine());
}

struct Bench<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    lines: Vec<String>,
}

impl Table for Bench<'_> {
    fn row<F: Fn(u64) + Sync>(&mut self, name: &str, make: impl Fn(usize) -> F) {
        self.measure(name, make);
    }
}

impl Bench<'_> {
    fn calls<S: Service<u64>>(&mut self, name: &str, make: impl Fn(usize) -> S) {
        self.measure(name, |endpoints| {
            let mut service = make(endpoints);
            move |key| call(&mut service, key)
        });
    }

    fn measure<F: FnMut(u64)>(&mut self, name: &str, make: impl Fn(usize) -> F) {
        let [a, b, c] = SIZES.map(|endpoints| {
            let began = SystemTime::now();
            let id = BenchmarkId::new(name, endpoints);
            let (mut once, mut n) = (make(endpoints), 0);
            self.group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    n += 1;
                    once(key(n));
                });
            });
            lowest(name, endpoints, began).map_or("-".to_owned(), |ns| format!("{ns:.1}"))
        });
        self.lines.push(format!("{name:<28}{a:>10}{b:>10}{c:>10}"));
    }
}

/// In nanoseconds, the lowest of the samples that criterion has just taken: what
/// other work on the machine does to a sample never makes it lower. `None` where
/// a filter or `--test` kept it from measuring.
fn lowest(name: &str, endpoints: usize, since: SystemTime) -> Option<f64> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let file = target.join(format!("criterion/peers/{name}/{endpoints}/new/sample.json"));
    if fs::metadata(&file).ok()?.modified().ok()? < since {
        return None;
    }
    let samples: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let (times, iters) = (samples["times"].as_array()?, samples["iters"].as_array()?);
    let each = times.iter().zip(iters).filter_map(|(ns, n)| Some(ns.as_f64()? / n.as_f64()?));
    each.min_by(f64::total_cmp)
}
