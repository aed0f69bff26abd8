use std::time::Duration;

use super::{Distribution, Scenario, Simulation};

/// What all scenarios of one comparison have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many servers there are.
    pub servers: usize,
    /// Requests that each of them does at the same time.
    pub workers: usize,
    /// Requests of each simulation.
    pub requests: usize,
    /// The part of what servers can do that is asked of them. One in trouble
    /// doesn't count as one.
    pub utilisation: f64,
    /// How many times slower a slow server is.
    pub slowdown: f64,
    /// How requests differ, in place of what the scenario says.
    pub distribution: Option<Distribution>,
    /// A request that has no answer by then has failed.
    pub timeout: Duration,
    /// The same seed gives the same figures.
    pub seed: u64,
}

/// What a request is for a usual server, on average.
const MEAN_WORK: Duration = Duration::from_millis(10);

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: 10,
            workers: 8,
            requests: 100_000,
            utilisation: 0.6,
            slowdown: 10.0,
            distribution: None,
            timeout: Duration::from_secs(1),
            seed: 1,
        }
    }
}

impl Settings {
    /// The simulation of a scenario with so many clients.
    pub fn simulation(&self, scenario: Scenario, clients: usize) -> Simulation {
        let servers = scenario.servers(self.servers, self.slowdown);
        let capacity = Simulation::capacity(&servers, self.workers, MEAN_WORK);
        Simulation {
            servers,
            workers: self.workers,
            clients,
            requests: self.requests,
            rate: self.utilisation * capacity,
            mean_work: MEAN_WORK,
            distribution: self.distribution.unwrap_or(scenario.distribution()),
            keys: scenario.keys(),
            timeout: self.timeout,
            seed: self.seed,
        }
    }

    /// What a scenario with a server in trouble is compared with: the same
    /// requests, without that server.
    pub fn without_trouble(&self, clients: usize) -> Simulation {
        let mut simulation = self.simulation(Scenario::Slow, clients);
        simulation.servers.retain(|server| server.trouble.is_none());
        simulation
    }
}
