use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use lb_core::{
    Endpoint,
    balance::{BalancerFactory, Cluster, Member, PickContext},
    load::{Lease, Load},
};

use super::{
    random::{Distribution, Keys, exponential},
    server::Setup,
};

/// Who sends requests: with a balancer of its own, which knows no requests but
/// its own.
#[derive(Debug)]
pub(super) struct Client {
    cluster: Cluster<usize>,
}

impl Client {
    pub(super) fn new(servers: &[Setup], factory: &dyn BalancerFactory) -> Self {
        let member = |(at, server): (usize, &Setup)| Member {
            id: format!("server-{at}").into(),
            endpoint: Endpoint::new(at).weight(server.weight),
            load: Arc::new(Load::new(true)),
        };
        let members = servers.iter().enumerate().map(member).collect();
        Self { cluster: Cluster::new(members, factory) }
    }

    pub(super) fn pick(&self, now: Instant, hash: u64) -> Option<(usize, Lease)> {
        let cx = PickContext::new().at(now).hash(Some(hash));
        let (member, lease) = self.cluster.pick(&cx)?;
        Some((member.endpoint.target, lease))
    }

    /// As its balancer counts them.
    pub(super) fn in_flight(&self) -> usize {
        self.cluster.members().iter().map(|member| member.load.in_flight()).sum()
    }
}

/// One request as it is made.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) client: usize,
    pub(super) key: usize,
    /// How long a worker of a usual server needs for it.
    pub(super) work: Duration,
}

/// The stream of requests: independent of how any of them is answered, and the
/// same for every algorithm.
///
/// Requests come at random times, and a random client has each of them. That is
/// the same as a Poisson process at every client.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) rng: Rng,
    pub(super) keys: Keys,
    pub(super) clients: usize,
    /// Requests a second.
    pub(super) rate: f64,
    pub(super) distribution: Distribution,
    pub(super) mean_work: Duration,
}

impl Arrivals {
    /// The time until the next request.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_secs_f64(exponential(&mut self.rng) / self.rate)
    }

    pub(super) fn next(&mut self) -> Demand {
        Demand {
            client: self.rng.usize(..self.clients),
            key: self.keys.sample(&mut self.rng),
            work: self.mean_work.mul_f64(self.distribution.sample(&mut self.rng)),
        }
    }
}
