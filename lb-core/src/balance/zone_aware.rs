use std::{collections::HashSet, fmt, sync::Arc};

use super::{
    Balancer, BalancerFactory, Candidate, PickContext,
    group::{Group, lot},
};
use crate::load::Timing;

/// Endpoints of the own zone first, those of other zones for what it can't take.
///
/// The own zone gets everything while its share of all that is ready is at least
/// its share of the clients. With less, it gets as much as its endpoints can
/// carry without being busier than the others, and the rest spills over. So with
/// three zones alike, and half of the endpoints of one down, that zone keeps six
/// in ten of its requests. This is Envoy's zone aware routing:
/// <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/zone_aware>.
///
/// Clients are taken to be spread over the zones evenly, unless
/// [said otherwise](Self::clients). Within a zone, and among all others, another
/// algorithm picks.
///
/// ```
/// use lb_core::{Balance, balance::{Algorithm, ZoneAware}, discovery};
/// # let discovery = discovery::fixed(["a"]);
/// # let connect = |_: &_, _: &&str| ();
/// let algorithm = ZoneAware::new("eu-west-1a", Algorithm::PeakEwma);
/// let (balance, driver) = Balance::new(discovery, connect, algorithm);
/// ```
pub struct ZoneAware {
    zone: Arc<str>,
    clients: Option<f64>,
    inner: Box<dyn BalancerFactory>,
}

impl ZoneAware {
    /// For a client in `zone`.
    pub fn new(zone: impl Into<Arc<str>>, inner: impl BalancerFactory + 'static) -> Self {
        Self { zone: zone.into(), clients: None, inner: Box::new(inner) }
    }

    /// The part of all clients that are in this zone, from 0 to 1. What isn't
    /// more than 0 has no effect.
    #[must_use]
    pub fn clients(mut self, share: f64) -> Self {
        self.clients = (share > 0.0).then_some(share.min(1.0));
        self
    }
}

impl BalancerFactory for ZoneAware {
    fn build(&self, candidates: &[Candidate]) -> Arc<dyn Balancer> {
        let zones: HashSet<_> = candidates.iter().map(|candidate| &candidate.zone).collect();
        let clients = self.clients.unwrap_or(1.0 / zones.len().max(1) as f64);
        let (local, remote): (Vec<_>, Vec<_>) = candidates
            .iter()
            .cloned()
            .enumerate()
            .partition(|(_, candidate)| candidate.zone.as_ref() == Some(&self.zone));
        let group = |members| Group::new(members, &*self.inner);
        Arc::new(Zones { local: group(local), remote: group(remote), clients })
    }
}

impl fmt::Debug for ZoneAware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZoneAware").field("zone", &self.zone).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Zones {
    local: Group,
    remote: Group,
    /// Of all clients, the part that is here.
    clients: f64,
}

impl Balancer for Zones {
    fn pick(&self, _: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let (local, remote) = (self.local.ready() as f64, self.remote.ready() as f64);
        // What the others would carry of it, were every endpoint as busy as any.
        let keeps = local / ((local + remote) * self.clients);
        let (first, second) = if keeps >= 1.0 || lot(cx) < keeps {
            (&self.local, &self.remote)
        } else {
            (&self.remote, &self.local)
        };
        first.pick(cx).or_else(|| second.pick(cx))
    }

    fn timing(&self) -> Option<Timing> {
        self.local.timing().or_else(|| self.remote.timing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{
        Algorithm,
        test_support::{candidates, counts},
    };

    /// The share of requests that stay in the first of three zones of ten, of
    /// which so many are ready.
    fn share(ready: [usize; 3], algorithm: &ZoneAware) -> f64 {
        let mut candidates = candidates(30);
        for (at, candidate) in candidates.iter_mut().enumerate() {
            candidate.zone = Some(["a", "b", "c"][at / 10].into());
            candidate.load.set_ready(at % 10 < ready[at / 10]);
        }
        fastrand::seed(5);
        let counts = counts(&*algorithm.build(&candidates), &candidates, 10_000);
        counts[..10].iter().sum::<usize>() as f64 / 10_000.0
    }

    #[test]
    fn what_the_zone_cannot_take_spills_over() {
        let algorithm = ZoneAware::new("a", Algorithm::RoundRobin);
        assert_eq!(share([10, 10, 10], &algorithm), 1.0);
        assert_eq!(share([10, 5, 5], &algorithm), 1.0);
        assert!((share([5, 10, 10], &algorithm) - 0.6).abs() < 0.02);
        assert_eq!(share([0, 10, 10], &algorithm), 0.0);
        assert_eq!(share([1, 0, 0], &algorithm), 1.0);
    }

    #[test]
    fn many_clients_in_one_zone_overflow_it() {
        let algorithm = ZoneAware::new("a", Algorithm::RoundRobin).clients(0.5);
        assert!((share([10, 10, 10], &algorithm) - 2.0 / 3.0).abs() < 0.02);
    }

    #[test]
    fn a_zone_without_endpoints_uses_all() {
        let algorithm = ZoneAware::new("z", Algorithm::RoundRobin);
        assert!((share([10, 10, 10], &algorithm) - 1.0 / 3.0).abs() < 0.02);
    }
}
