use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Instant,
};

use super::upstream::{Key, Upstream};
use crate::{
    balance::{Algorithm, Cluster, Member},
    endpoint::Endpoint,
    metrics,
    registry::{HostPattern, Plan, PlannedService, Routes, Unrouted},
};

/// Everything the request path needs to know, as one immutable snapshot.
pub(super) struct Table {
    pub(super) routes: Routes<Arc<Service>>,
    pub(super) services: Vec<Arc<Service>>,
    pub(super) unrouted: Vec<Unrouted>,
}

/// One service: its cluster, and what lives longer than a snapshot.
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) plan: PlannedService,
    pub(super) algorithm: Algorithm,
    pub(super) cluster: Cluster<Target>,
    pub(super) shared: Arc<ServiceState>,
}

/// One endpoint in the role it has for one service.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) classes: Arc<metrics::Classes>,
}

/// What a service keeps from one snapshot to the next.
pub(super) struct ServiceState {
    pub(super) metrics: metrics::Service,
    /// Requests that wait for an endpoint.
    pub(super) waiting: AtomicUsize,
    /// Since when requests have found no endpoint ready.
    unready_since: Mutex<Option<Instant>>,
}

impl ServiceState {
    fn new(name: &Arc<str>) -> Self {
        Self {
            metrics: metrics::Service::new(name),
            waiting: AtomicUsize::new(0),
            unready_since: Mutex::new(None),
        }
    }

    /// Since when requests have found no endpoint ready, if this one has not.
    pub(super) fn unready_since(&self, now: Instant) -> Instant {
        *self.unready_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now)
    }

    /// An endpoint has become ready.
    pub(super) fn ready(&self) {
        *self.unready_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Table {
    pub(super) fn empty() -> Self {
        Self { routes: Routes::new([], None), services: Vec::new(), unrouted: Vec::new() }
    }

    /// The table that follows from `plan`. A service about which nothing has
    /// changed keeps its cluster, and so its balancer's position.
    pub(super) fn next(
        &self,
        plan: Plan,
        upstreams: &HashMap<Key, Arc<Upstream>>,
        default_host: Option<&str>,
        default_algorithm: Algorithm,
    ) -> Self {
        let mut before: HashMap<&HostPattern, &Arc<Service>> =
            self.services.iter().map(|service| (&service.plan.host, service)).collect();
        let services: Vec<_> = plan
            .services
            .into_iter()
            .map(|plan| match before.remove(&plan.host) {
                Some(same) if same.plan == plan && same.holds(upstreams) => Arc::clone(same),
                was => Arc::new(Service::next(was, plan, upstreams, default_algorithm)),
            })
            .collect();
        let routes = services.iter().map(|service| (service.plan.host.clone(), service));
        // The default host names a service, which may itself be a wildcard.
        let by_name = Routes::new(routes.clone(), None);
        let default =
            default_host.and_then(|host| by_name.find(host)).map(|found| Arc::clone(found));
        let routes = routes.map(|(host, service)| (host, Arc::clone(service)));
        Self { routes: Routes::new(routes, default), services, unrouted: plan.unrouted }
    }
}

impl Service {
    fn next(
        was: Option<&Arc<Self>>,
        plan: PlannedService,
        upstreams: &HashMap<Key, Arc<Upstream>>,
        default_algorithm: Algorithm,
    ) -> Self {
        let name: Arc<str> = plan.host.to_string().into();
        let algorithm = plan.algorithm.unwrap_or(default_algorithm);
        let shared =
            was.map_or_else(|| Arc::new(ServiceState::new(&name)), |was| Arc::clone(&was.shared));
        let members = was.iter().flat_map(|was| was.cluster.members());
        let targets = members.map(|member| &member.endpoint.target);
        let known: HashMap<_, _> =
            targets.map(|target| (Arc::as_ptr(&target.upstream), target)).collect();
        let members = plan.endpoints.iter().filter_map(|endpoint| {
            let key = (endpoint.id.clone(), endpoint.address?);
            let upstream = upstreams.get(&key)?;
            let known = known.get(&Arc::as_ptr(upstream)).map(|&target| target.clone());
            let target = known.unwrap_or_else(|| Target {
                upstream: Arc::clone(upstream),
                classes: Arc::new(metrics::Classes::new(&name, &upstream.name)),
            });
            Some(Member {
                id: endpoint.id.clone(),
                endpoint: Endpoint::new(target).weight(endpoint.weight),
                load: Arc::clone(&upstream.load),
            })
        });
        let cluster = Cluster::new(members.collect(), &algorithm);
        Self { name, plan, algorithm, cluster, shared }
    }

    /// Whether its cluster still is made of the upstreams that are in force.
    fn holds(&self, upstreams: &HashMap<Key, Arc<Upstream>>) -> bool {
        self.cluster.members().iter().all(|member| {
            let mine = &member.endpoint.target.upstream;
            upstreams.get(&mine.key()).is_some_and(|theirs| Arc::ptr_eq(mine, theirs))
        })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
