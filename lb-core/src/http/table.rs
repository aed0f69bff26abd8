use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    Options,
    since::Since,
    upstream::{Key, Upstream},
};
use crate::{
    balance::{Algorithm, Cluster, Member, Room},
    endpoint::{Endpoint, EndpointId},
    load::Lease,
    metrics,
    registry::{HostPattern, Plan, PlannedEndpoint, PlannedService, Routes, Unrouted},
    resilience::budget::TokenBudget,
};

/// Everything the request path needs to know, as one immutable snapshot.
pub(super) struct Table {
    pub(super) routes: Routes<Arc<Service>>,
    pub(super) services: Vec<Arc<Service>>,
    pub(super) unrouted: Vec<Unrouted>,
    pub(super) since: Arc<Since>,
    pub(super) options: Arc<Options>,
}

/// One service: its cluster, and what lives longer than a snapshot.
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) plan: PlannedService,
    pub(super) algorithm: Algorithm,
    pub(super) cluster: Cluster<Target>,
    pub(super) options: Arc<Options>,
    /// Whether any of its endpoints does.
    pub(super) speaks_http2: bool,
    #[cfg(feature = "tls")]
    pub(super) https: super::https::ServiceHttps,
    /// What there is for sending requests again.
    pub(super) budget: Arc<TokenBudget>,
    pub(super) shared: Arc<ServiceState>,
}

/// One endpoint in the role it has for one service.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) upstream: Arc<Upstream>,
    pub(super) metrics: Arc<metrics::Target>,
}

/// What a service keeps from one snapshot to the next.
pub(super) struct ServiceState {
    pub(super) metrics: metrics::Service,
    /// Where requests wait for an endpoint.
    pub(super) room: Room,
}

impl ServiceState {
    fn new(name: &Arc<str>) -> Self {
        Self { metrics: metrics::Service::new(name), room: Room::default() }
    }
}

impl Table {
    pub(super) fn empty(options: Options) -> Self {
        let routes = Routes::new([], None);
        Self {
            routes,
            services: Vec::new(),
            unrouted: Vec::new(),
            since: Arc::default(),
            options: Arc::new(options),
        }
    }

    /// The service of this name, as it is now.
    pub(super) fn service(&self, host: &HostPattern) -> Option<&Arc<Service>> {
        let at = self.services.binary_search_by(|service| service.plan.host.cmp(host));
        at.ok().map(|at| &self.services[at])
    }

    /// The table that follows from `plan` (all of which is said `since` then) and
    /// `options`. A service about which nothing has changed keeps its cluster, and so its
    /// balancer's position.
    pub(super) fn next(
        &self,
        plan: Plan,
        since: Arc<Since>,
        upstreams: &HashMap<Key, Arc<Upstream>>,
        options: &Arc<Options>,
    ) -> Self {
        let mut before: HashMap<&HostPattern, &Arc<Service>> =
            self.services.iter().map(|service| (&service.plan.host, service)).collect();
        let services: Vec<_> = plan
            .services
            .into_iter()
            .map(|plan| match before.remove(&plan.host) {
                Some(same) if same.is_current(&plan, upstreams, options) => Arc::clone(same),
                was => Arc::new(Service::next(was, plan, upstreams, options)),
            })
            .collect();
        let routes = services.iter().map(|service| (service.plan.host.clone(), service));
        // The default host names a service, which may itself be a wildcard.
        let by_name = Routes::new(routes.clone(), None);
        let default_host = options.default_host.as_deref();
        let default =
            default_host.and_then(|host| by_name.find(host)).map(|found| Arc::clone(found));
        let routes = routes.map(|(host, service)| (host, Arc::clone(service)));
        Self {
            routes: Routes::new(routes, default),
            services,
            unrouted: plan.unrouted,
            since,
            options: Arc::clone(options),
        }
    }
}

impl Service {
    fn next(
        was: Option<&Arc<Self>>,
        plan: PlannedService,
        upstreams: &HashMap<Key, Arc<Upstream>>,
        options: &Arc<Options>,
    ) -> Self {
        let name: Arc<str> = plan.host.to_string().into();
        let algorithm = plan.algorithm.unwrap_or(options.algorithm);
        let shared =
            was.map_or_else(|| Arc::new(ServiceState::new(&name)), |was| Arc::clone(&was.shared));
        let members = was.iter().flat_map(|was| was.cluster.members());
        let targets = members.map(|member| &member.endpoint.target);
        let known: HashMap<_, _> =
            targets.map(|target| (Arc::as_ptr(&target.upstream), target)).collect();
        let members = plan.endpoints.iter().filter_map(|endpoint| {
            let key = (endpoint.id.clone(), endpoint.address?, endpoint.transport.clone());
            let upstream = upstreams.get(&key)?;
            let known = known.get(&Arc::as_ptr(upstream)).map(|&target| target.clone());
            let target = known.unwrap_or_else(|| Target {
                upstream: Arc::clone(upstream),
                metrics: Arc::new(metrics::Target::new(&name, &upstream.name)),
            });
            Some(Member {
                id: endpoint.id.clone(),
                endpoint: Endpoint::new(target).weight(endpoint.weight),
                load: Arc::clone(&upstream.load),
            })
        });
        let cluster = Cluster::new(members.collect(), &algorithm);
        let retries = |options: &Options| (options.retry_share, options.retries_per_second);
        let budget = was.filter(|was| retries(&was.options) == retries(options));
        let budget = budget.map_or_else(
            || Arc::new(TokenBudget::new(options.retry_share, options.retries_per_second)),
            |was| Arc::clone(&was.budget),
        );
        Self {
            #[cfg(feature = "tls")]
            https: super::https::ServiceHttps::new(&plan.https, options.https.as_ref()),
            speaks_http2: plan.endpoints.iter().any(|one| one.transport.protocol.is_http2()),
            name,
            plan,
            algorithm,
            cluster,
            options: Arc::clone(options),
            budget,
            shared,
        }
    }

    /// Somebody who is left alone for his failures, for when nobody else is there:
    /// he may have been compared with others than those of this service.
    pub(super) fn last_resort(&self, tried: &[EndpointId]) -> Option<(Target, Lease)> {
        let untried: Vec<_> = self.wanted().filter(|one| !tried.contains(&one.id)).collect();
        let member = fastrand::choice(untried)?;
        Some((member.endpoint.target.clone(), member.load.lease()))
    }

    /// Who this endpoint of the plan is in the cluster, if it has an address.
    pub(super) fn member(&self, endpoint: &PlannedEndpoint) -> Option<&Member<Target>> {
        self.place(endpoint).map(|place| &self.cluster.members()[place])
    }

    /// Its place among the members of the cluster.
    pub(super) fn place(&self, endpoint: &PlannedEndpoint) -> Option<usize> {
        self.cluster.members().iter().position(|member| {
            member.id == endpoint.id
                && Some(member.endpoint.target.upstream.address) == endpoint.address
        })
    }

    /// Those that their sources want used and that accept connections, whether they are
    /// left alone or not.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Member<Target>> {
        self.cluster.members().iter().filter(|member| is_wanted(member))
    }

    /// Whether it is what would be made of these, its cluster of the upstreams
    /// that are in force.
    fn is_current(
        &self,
        plan: &PlannedService,
        upstreams: &HashMap<Key, Arc<Upstream>>,
        options: &Arc<Options>,
    ) -> bool {
        if self.plan != *plan || !Arc::ptr_eq(&self.options, options) {
            return false;
        }
        self.cluster.members().iter().all(|member| {
            let mine = &member.endpoint.target.upstream;
            upstreams.get(&mine.key()).is_some_and(|theirs| Arc::ptr_eq(mine, theirs))
        })
    }
}

/// Whether its source wants it used and it accepts connections.
pub(super) fn is_wanted(member: &Member<Target>) -> bool {
    member.endpoint.weight > 0 && member.load.is_wanted()
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
