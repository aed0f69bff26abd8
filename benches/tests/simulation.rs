//! That the simulator simulates what it says, and what the balancers do in it.
//! All of it is seeded and takes place in virtual time: the same figures on
//! every machine.

use std::{sync::Arc, time::Duration};

use benches::simulation::{
    Contender, Distribution, Figures, Keys, Measured, Scenario, Settings, Setup, Simulation, svg,
};
use lb_core::balance::{Algorithm, Balancer, Candidate, PickContext};

const MEAN_WORK: Duration = Duration::from_millis(10);

fn settings(seed: u64) -> Settings {
    Settings { requests: 40_000, seed, ..Settings::default() }
}

fn figures(scenario: Scenario, algorithm: Algorithm, clients: usize) -> Figures {
    settings(1).simulation(scenario, clients).run(&algorithm)
}

/// One worker, one queue, one client.
fn single(utilisation: f64, distribution: Distribution) -> Figures {
    let simulation = Simulation {
        servers: vec![Setup::usual()],
        workers: 1,
        clients: 1,
        requests: 150_000,
        rate: utilisation / MEAN_WORK.as_secs_f64(),
        mean_work: MEAN_WORK,
        distribution,
        keys: Keys::new(1, 0.0),
        timeout: Duration::from_secs(3600),
        seed: 1,
    };
    simulation.run(&Algorithm::RoundRobin)
}

fn assert_near(measured: f64, expected: f64) {
    let ratio = measured / expected;
    assert!((0.95..1.05).contains(&ratio), "{measured}, where {expected} was expected");
}

#[test]
fn queues_are_as_long_as_theory_says() {
    // M/M/1: 1 / (service rate - arrival rate), and exponential like the service.
    let figures = single(0.5, Distribution::Exponential);
    assert_near(figures.mean, 0.02);
    assert_near(figures.quantile(0.99), 0.02 * 100_f64.ln());
    assert_near(single(0.8, Distribution::Exponential).mean, 0.05);
    // M/D/1: half the wait of M/M/1 (Pollaczek and Khinchine).
    let figures = single(0.8, Distribution::Constant);
    assert_near(figures.mean, 0.01 * (1.0 + 0.8 / (2.0 * 0.2)));
}

/// In flight is counted by the leases of lb-core, as those who arrive find it;
/// rate and time by the simulator.
#[test]
fn littles_law_holds() {
    let cases = [
        (Scenario::Equal, Algorithm::PeakEwma, 1),
        (Scenario::Slow, Algorithm::RoundRobin, 10),
        (Scenario::Hanging, Algorithm::LeastRequest, 10),
        (Scenario::Failing, Algorithm::Random, 1),
    ];
    for (scenario, algorithm, clients) in cases {
        let figures = figures(scenario, algorithm, clients);
        assert_near(figures.in_flight, figures.rate * figures.mean);
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let settings = |seed| Settings { requests: 3_000, seed, ..Settings::default() };
    for algorithm in Contender::all() {
        let run =
            |seed| settings(seed).simulation(Scenario::Flapping, 5).run(&algorithm.factory(1.25));
        assert_eq!(run(7), run(7), "{algorithm}");
        assert_ne!(run(7), run(8), "{algorithm}");
    }
}

#[test]
fn no_request_is_lost() {
    for algorithm in Contender::all() {
        for &scenario in Scenario::ALL {
            let settings = Settings { requests: 200, ..Settings::default() };
            let figures = settings.simulation(scenario, 2).run(&algorithm.factory(1.25));
            assert_eq!(figures.requests, 160, "{algorithm}, {scenario}");
            assert_eq!(figures.per_server.iter().sum::<usize>(), 160, "{algorithm}, {scenario}");
        }
    }
}

#[test]
fn who_finds_no_server_has_failed() {
    struct Nobody;
    impl Balancer for Nobody {
        fn pick(&self, _: &[Candidate], _: &PickContext<'_>) -> Option<usize> {
            None
        }
    }
    let nobody = |_: &[Candidate]| Arc::new(Nobody) as Arc<dyn Balancer>;
    let settings = Settings { requests: 100, ..Settings::default() };
    let figures = settings.simulation(Scenario::Equal, 1).run(&nobody);
    assert_eq!((figures.requests, figures.failed), (80, 80));
}

/// Of the p99 with one of ten servers ten times slower, and without it.
fn p99_ratio(algorithm: Algorithm, clients: usize, seed: u64) -> f64 {
    let with = settings(seed).simulation(Scenario::Slow, clients).run(&algorithm);
    let without = settings(seed).without_trouble(clients).run(&algorithm);
    with.quantile(0.99) / without.quantile(0.99)
}

/// A proxy sees all requests, so both who is slow and who is busy.
#[test]
fn a_proxy_hardly_notices_a_slow_server() {
    for seed in [1, 2] {
        let ratio = |algorithm| p99_ratio(algorithm, 1, seed);
        let [least, peak] = [ratio(Algorithm::LeastRequest), ratio(Algorithm::PeakEwma)];
        assert!(least <= 1.5, "seed {seed}: least_request {least}");
        assert!(peak <= 1.1, "seed {seed}: peak_ewma {peak}");
        let turns = ratio(Algorithm::RoundRobin);
        assert!(turns > 10.0, "seed {seed}: round_robin {turns}");
    }
}

/// One of many clients has too little in flight to see who is busy, but it
/// remembers who was slow.
#[test]
fn one_of_many_clients_needs_to_remember_who_was_slow() {
    for clients in [10, 50] {
        let peak = p99_ratio(Algorithm::PeakEwma, clients, 1);
        assert!(peak <= 1.1, "{clients} clients: peak_ewma {peak}");
        let least = p99_ratio(Algorithm::LeastRequest, clients, 1);
        assert!(least > 2.0, "{clients} clients: least_request {least}");
    }
}

#[test]
fn failing_at_once_attracts_nobody_who_remembers() {
    for scenario in [Scenario::Failing, Scenario::RetryAfter] {
        for clients in [1, 10] {
            let share = |algorithm| figures(scenario, algorithm, clients).odd;
            let turns = share(Algorithm::RoundRobin);
            assert!((0.099..0.101).contains(&turns), "{scenario}: round_robin {turns}");
            let peak = share(Algorithm::PeakEwma);
            assert!(peak < 0.002, "{scenario}: peak_ewma {peak}");
            // What it holds against a server is only how busy it is.
            let least = share(Algorithm::LeastRequest);
            assert!(least > 0.11, "{scenario}: least_request {least}");
        }
    }
}

#[test]
fn a_popular_key_overloads_its_server_unless_loads_are_bounded() {
    let run = |algorithm: Contender| {
        settings(1).simulation(Scenario::Keys, 1).run(&algorithm.factory(2.0))
    };
    let free = run(Algorithm::Maglev.into());
    assert!(free.kept > 0.999 && free.failure_rate() > 0.05, "{free:?}");
    let bounded = run(Contender::MaglevBounded);
    assert_eq!(bounded.failed, 0);
    assert!(bounded.kept > 0.8, "{}", bounded.kept);
}

#[test]
fn the_picture_has_a_mark_for_each_result() {
    let settings = Settings { requests: 200, ..Settings::default() };
    let measured = |(algorithm, clients): (Algorithm, usize)| Measured {
        algorithm: algorithm.name(),
        clients,
        figures: settings.simulation(Scenario::Failing, clients).run(&algorithm),
        without_trouble: None,
    };
    let all = Algorithm::ALL.iter().flat_map(|&algorithm| [(algorithm, 1), (algorithm, 2)]);
    let picture = svg(&[(Scenario::Failing, all.map(measured).collect())]);
    // Two more explain them.
    assert_eq!(picture.matches("<circle").count(), 2 * Algorithm::ALL.len() + 2);
    assert_eq!(picture.matches("</svg>").count(), 1);
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}
