//! That the simulator simulates what it says, and what the balancers do in it.
//! All of it is seeded and takes place in virtual time: the same figures on
//! every machine.

use std::{sync::Arc, time::Duration};

use benches::simulation::{
    Distribution, Figures, Keys, Measured, Scenario, Settings, Setup, Simulation, svg,
};
use lb_core::balance::{Algorithm, Balancer, Candidate, PickContext};

const MEAN_WORK: Duration = Duration::from_millis(10);

fn settings() -> Settings {
    Settings { requests: 50_000, ..Settings::default() }
}

fn figures(scenario: Scenario, algorithm: Algorithm, clients: usize) -> Figures {
    settings().simulation(scenario, clients).run(&algorithm)
}

/// One worker, one queue, one client.
fn single(utilisation: f64, distribution: Distribution) -> Figures {
    let simulation = Simulation {
        servers: vec![Setup::usual()],
        workers: 1,
        clients: 1,
        requests: 300_000,
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
    // M/M/1: 1 / (service rate - arrival rate). Its time in the system is
    // exponential, too.
    for utilisation in [0.3, 0.5, 0.8] {
        let figures = single(utilisation, Distribution::Exponential);
        let mean = 0.01 / (1.0 - utilisation);
        assert_near(figures.mean, mean);
        assert_near(figures.quantile(0.99), mean * 100_f64.ln());
    }
    // M/D/1: half the wait of M/M/1 (Pollaczek and Khinchine).
    let figures = single(0.8, Distribution::Constant);
    assert_near(figures.mean, 0.01 * (1.0 + 0.8 / (2.0 * 0.2)));
}

/// In flight is counted by the leases of lb-core, as those who arrive find it;
/// rate and time by the simulator.
#[test]
fn littles_law_holds() {
    for &algorithm in Algorithm::ALL {
        for (scenario, clients) in
            [(Scenario::Equal, 1), (Scenario::Slow, 10), (Scenario::Hanging, 1)]
        {
            let figures = figures(scenario, algorithm, clients);
            println!("{algorithm}, {scenario}");
            assert_near(figures.in_flight, figures.rate * figures.mean);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let settings = |seed| Settings { requests: 5_000, seed, ..Settings::default() };
    for &algorithm in Algorithm::ALL {
        let run = |seed| settings(seed).simulation(Scenario::Flapping, 5).run(&algorithm);
        assert_eq!(run(7), run(7), "{algorithm}");
        assert_ne!(run(7), run(8), "{algorithm}");
    }
}

#[test]
fn no_request_is_lost() {
    for &algorithm in Algorithm::ALL {
        for &scenario in Scenario::ALL {
            let settings = Settings { requests: 2_000, ..Settings::default() };
            let figures = settings.simulation(scenario, 3).run(&algorithm);
            assert_eq!(figures.requests, 1_600, "{algorithm}, {scenario}");
            assert_eq!(figures.per_server.iter().sum::<usize>(), 1_600, "{algorithm}, {scenario}");
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
