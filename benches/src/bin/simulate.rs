//! Every algorithm in every kind of trouble, in virtual time.
//!
//! Prints a table for each scenario. Its columns:
//!
//! * p50, p99, p99.9: latencies in milliseconds. A request without an answer
//!   counts as long as its client has waited, one answered with an error doesn't
//!   count.
//! * failed: the part of requests that failed.
//! * max/mean: the requests of the server with the most, relative to the mean.
//! * p99 x: the p99 relative to the one of the same requests without the server
//!   in trouble.
//! * odd: the part of requests that the server in trouble got, or the fast ones.
//! * kept: the part of requests that went where the one before with the same key
//!   went.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use benches::simulation::{Contender, Distribution, Measured, Scenario, Settings, Table, svg};
use clap::Parser;

/// Compare the balancing algorithms in a simulation.
#[derive(Parser)]
struct Arguments {
    /// Scenarios, such as slow or keys; all unless given.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Algorithms, such as peak_ewma or ring_hash_bounded; all unless given.
    #[arg(long, value_delimiter = ',')]
    algorithm: Vec<Contender>,
    /// Numbers of clients, each with a balancer of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50])]
    clients: Vec<usize>,
    /// Servers.
    #[arg(long, default_value_t = 10)]
    servers: usize,
    /// Requests that a server does at the same time.
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// Requests of each simulation, the first fifth of which doesn't count.
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// The part of what the servers without trouble can do that is asked of all.
    #[arg(long, default_value_t = 0.6)]
    utilisation: f64,
    /// How many times slower a slow server is.
    #[arg(long, default_value_t = 10.0)]
    slowdown: f64,
    /// How many times its share of requests in flight a server may have where
    /// loads are bounded.
    #[arg(long, default_value_t = 2.0)]
    bound: f64,
    /// How requests differ in all scenarios: constant, exponential, log_normal
    /// or bimodal.
    #[arg(long)]
    distribution: Option<Distribution>,
    /// When a request without an answer has failed, in milliseconds; a request
    /// takes 10 on average.
    #[arg(long, default_value_t = 1000)]
    timeout: u64,
    /// The same seed gives the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file for a plot of all p99s.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = arguments.settings()?;
    let scenarios = or_all(&arguments.scenario, Scenario::ALL);
    let all = Contender::all();
    let algorithms = or_all(&arguments.algorithm, &all);
    let width = algorithms.iter().map(|algorithm| algorithm.name().len()).max().unwrap_or(0);
    let mut without_trouble = HashMap::new();
    let mut results = Vec::new();
    let mut out = io::stdout().lock();
    for &scenario in scenarios {
        let simulation = settings.simulation(scenario, 1);
        let table = Table {
            width: width.max(9),
            troubled: scenario.is_troubled(),
            odd: simulation.servers.iter().any(|server| server.odd),
        };
        writeln!(out, "{scenario}: {}, {:.0} requests/s", scenario.about(), simulation.rate)?;
        writeln!(out, "{}", table.head())?;
        let mut rows = Vec::new();
        for (&clients, &algorithm) in pairs(&arguments.clients, algorithms) {
            let factory = algorithm.factory(arguments.bound);
            let figures = settings.simulation(scenario, clients).run(&factory);
            let compared = scenario.is_troubled().then(|| {
                let known = without_trouble.entry((algorithm, clients));
                known.or_insert_with(|| settings.without_trouble(clients).run(&factory)).clone()
            });
            let name = algorithm.name();
            let row = Measured { algorithm: name, clients, figures, without_trouble: compared };
            writeln!(out, "{}", table.row(&row))?;
            rows.push(row);
        }
        writeln!(out)?;
        results.push((scenario, rows));
    }
    if let Some(file) = &arguments.svg {
        fs::write(file, svg(&results)).with_context(|| format!("--svg {}", file.display()))?;
    }
    Ok(())
}

impl Arguments {
    fn settings(&self) -> anyhow::Result<Settings> {
        ensure!(
            self.servers >= 2,
            "--servers {}: one may be in trouble, give 2 or more",
            self.servers
        );
        ensure!(self.workers >= 1, "--workers 0: a server needs at least 1");
        ensure!(!self.clients.contains(&0), "--clients 0: give 1 or more");
        ensure!(self.requests >= 100, "--requests {}: give 100 or more", self.requests);
        ensure!(
            (0.001..=10.0).contains(&self.utilisation),
            "--utilisation {}: give a part of 1, from 0.001 to 10",
            self.utilisation
        );
        ensure!(
            (1.0..=1e6).contains(&self.slowdown),
            "--slowdown {}: give a factor from 1 to 1000000",
            self.slowdown
        );
        ensure!(self.bound >= 1.0, "--bound {}: give a factor of 1 or more", self.bound);
        ensure!(self.timeout >= 1, "--timeout 0: give 1 or more milliseconds");
        Ok(Settings {
            servers: self.servers,
            workers: self.workers,
            requests: self.requests,
            utilisation: self.utilisation,
            slowdown: self.slowdown,
            distribution: self.distribution,
            timeout: Duration::from_millis(self.timeout),
            seed: self.seed,
        })
    }
}

fn pairs<'a, A, B>(outer: &'a [A], inner: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    outer.iter().flat_map(move |a| inner.iter().map(move |b| (a, b)))
}

fn or_all<'a, T>(chosen: &'a [T], all: &'a [T]) -> &'a [T] {
    if chosen.is_empty() { all } else { chosen }
}
