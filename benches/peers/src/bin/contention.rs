//! Picks per second by threads that share one balancer. tower's needs `&mut`,
//! so threads share it as tower means it: behind a buffer, whose worker is one
//! more thread that picks for all of them.
//!
//! The argument is the number of endpoints, 10 if left out: the fewer there
//! are, the more often two threads meet at one.

use std::{env, sync::Barrier, thread, time::Instant};

use lb_core::balance::Algorithm::{LeastRequest, PeakEwma, RoundRobin};
use peers::{Table, balance, call, key, machine, pending, picks};
use tower::{Service, ServiceExt, buffer::Buffer};

const THREADS: [u64; 4] = [1, 2, 4, 8];
const ROUNDS: usize = 3;

/// Of each thread: enough for tens of milliseconds.
const PICKS: u64 = 200_000;
const BUFFERED_PICKS: u64 = 10_000;

fn main() {
    let endpoints = env::args().nth(1).map_or(10, |n| n.parse().expect("a number of endpoints"));
    println!("{endpoints} endpoints, {}", machine());
    println!("{:<28}{:>8}{:>8}{:>8}{:>8}", "million picks/s, threads", 1, 2, 4, 8);
    picks(&mut Endpoints(endpoints));
    for algorithm in [RoundRobin, LeastRequest, PeakEwma] {
        let balance = balance(algorithm, endpoints);
        print(&format!("call, lb-core {algorithm}"), PICKS, || {
            let mut balance = balance.clone();
            move |key| call(&mut balance, key)
        });
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).build().expect("a runtime");
    let (buffer, worker) = Buffer::pair(pending(endpoints), 1024);
    runtime.spawn(worker);
    print("call, tower p2c, buffered", BUFFERED_PICKS, || {
        let (mut buffer, runtime) = (buffer.clone(), &runtime);
        move |key| {
            let answer = async { buffer.ready().await?.call(key).await };
            runtime.block_on(answer).expect("every endpoint answers");
        }
    });
    println!("{} at the end", machine());
}

struct Endpoints(usize);

impl Table for Endpoints {
    fn row<F: Fn(u64) + Sync>(&mut self, name: &str, make: impl Fn(usize) -> F) {
        let pick = make(self.0);
        print(name, PICKS, || &pick);
    }
}

fn print<F: FnMut(u64)>(name: &str, picks: u64, thread: impl Fn() -> F + Sync) {
    let [a, b, c, d] = THREADS.map(|threads| {
        let mut rates = [(); ROUNDS].map(|()| rate(threads, picks, &thread));
        rates.sort_unstable_by(f64::total_cmp);
        format!("{:.2}", rates[ROUNDS / 2] / 1e6)
    });
    println!("{name:<28}{a:>8}{b:>8}{c:>8}{d:>8}");
}

/// From the moment the first thread starts until the last one is done.
fn rate<F: FnMut(u64)>(threads: u64, picks: u64, thread: &(impl Fn() -> F + Sync)) -> f64 {
    let all_here = Barrier::new(threads as usize);
    let run = |nth: u64| {
        let mut pick = thread();
        (0..1_000).for_each(|n| pick(key(n)));
        all_here.wait();
        let began = Instant::now();
        (0..picks).for_each(|n| pick(key(nth * picks + n)));
        (began, Instant::now())
    };
    let took = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|nth| scope.spawn(move || run(nth))).collect();
        let spans = threads.into_iter().map(|thread| thread.join().expect("no pick panics"));
        spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))).map(|(began, ended)| ended - began)
    });
    (threads * picks) as f64 / took.expect("at least one thread").as_secs_f64()
}
