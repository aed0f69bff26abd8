use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{Options, findings::Speaker, proxy::Shared, table::Service, upstream::Upstream};
use crate::{
    endpoint::EndpointId,
    health::{
        self, Event, Health, Heard, Monitor, OutlierOptions, Reason, Silence, SilenceOptions,
        Verdict,
    },
    registry::HostPattern,
    sync::lock,
};

/// The endpoints that are compared with each other: those of one service. One
/// that is in several services is compared in the first of them.
pub(super) struct Pools {
    shared: Arc<Shared>,
    pools: HashMap<HostPattern, Pool>,
}

struct Pool {
    members: Vec<Arc<Upstream>>,
    settings: Settings,
    monitor: Option<Watched>,
    /// Knows the members by their place.
    silence: Option<Silence>,
    heard: Vec<Heard>,
}

/// What decides how a pool is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settings {
    eject: bool,
    slow_start: Option<Duration>,
}

/// A task that runs a [`Monitor`].
struct Watched {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

enum Order {
    Insert(Arc<Upstream>),
    Remove(EndpointId),
    /// The word on whether an endpoint is wanted has changed.
    Review,
}

/// How long the first ejection lasts of one that fails: brief, as the others have
/// to do its work, and as it may only have been restarted.
const EJECTION: Duration = Duration::from_secs(5);

/// How often silence is listened for while requests are under way, and while none
/// are.
const LISTEN: Duration = Duration::from_millis(25);
const LISTEN_IDLE: Duration = Duration::from_millis(100);

impl Pools {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pools: HashMap::new() }
    }

    /// Watches the endpoints of these services, and nobody else.
    pub(super) fn update(&mut self, services: &[Arc<Service>], options: &Options) {
        let mut seen = HashSet::new();
        let mut before = mem::take(&mut self.pools);
        for service in services {
            let members = service.cluster.members().iter();
            let members = members.map(|member| &member.endpoint.target.upstream);
            let members: Vec<_> =
                members.filter(|upstream| seen.insert(Arc::as_ptr(upstream))).collect();
            if members.is_empty() {
                continue;
            }
            let settings = Settings {
                eject: options.eject,
                slow_start: service.plan.slow_start.or(options.slow_start),
            };
            let host = &service.plan.host;
            let mut pool = before.remove(host).unwrap_or_else(Pool::new);
            pool.set_members(&members);
            pool.set(settings, &self.shared);
            self.pools.insert(host.clone(), pool);
        }
        before.into_values().for_each(|mut pool| pool.set_members(&[]));
    }

    /// An endpoint has become ready, or has ceased to be so.
    pub(super) fn review(&self, upstream: &Arc<Upstream>) {
        let is_its = |pool: &&Pool| pool.members.iter().any(|one| Arc::ptr_eq(one, upstream));
        if let Some(pool) = self.pools.values().find(is_its) {
            pool.order(Order::Review);
        }
    }

    /// Looks for endpoints that hang, and says how soon to look again.
    pub(super) fn listen(&mut self, now: Instant) -> Duration {
        let (mut busy, mut returned) = (false, false);
        for pool in self.pools.values_mut() {
            busy |= pool.listen(now, &mut returned);
        }
        if returned {
            self.shared.wake();
        }
        if busy { LISTEN } else { LISTEN_IDLE }
    }
}

impl Pool {
    fn new() -> Self {
        Self {
            members: Vec::new(),
            settings: Settings::default(),
            monitor: None,
            silence: None,
            heard: Vec::new(),
        }
    }

    fn set_members(&mut self, current: &[&Arc<Upstream>]) {
        let mut new: HashMap<_, _> =
            current.iter().map(|&upstream| (Arc::as_ptr(upstream), upstream)).collect();
        for at in (0..self.members.len()).rev() {
            if new.remove(&Arc::as_ptr(&self.members[at])).is_none() {
                let gone = self.members.swap_remove(at);
                if let Some(silence) = &mut self.silence {
                    silence.remove(at);
                }
                self.order(Order::Remove(gone.tag.clone()));
                answers_again(&gone);
            }
        }
        // In the order of the service, whatever that of the map.
        for &upstream in current.iter().filter(|one| new.contains_key(&Arc::as_ptr(one))) {
            if let Some(silence) = &mut self.silence {
                silence.insert(upstream.heard().0);
            }
            self.order(Order::Insert(Arc::clone(upstream)));
            self.members.push(Arc::clone(upstream));
        }
        self.order(Order::Review);
    }

    fn set(&mut self, settings: Settings, shared: &Arc<Shared>) {
        let before = mem::replace(&mut self.settings, settings);
        if before == settings {
            return;
        }
        if before.eject != settings.eject {
            self.members.iter().for_each(|upstream| answers_again(upstream));
            self.silence = settings.eject.then(|| {
                let mut silence = Silence::new(SilenceOptions::default());
                self.members.iter().for_each(|upstream| silence.insert(upstream.heard().0));
                silence
            });
        }
        let before = self.monitor.take().map(|monitor| monitor.task);
        let monitored = settings.eject || settings.slow_start.is_some();
        self.monitor = monitored.then(|| Watched::start(settings, before, shared));
        for upstream in &self.members {
            self.order(Order::Insert(Arc::clone(upstream)));
        }
    }

    fn order(&self, order: Order) {
        if let Some(monitor) = &self.monitor {
            // Fails only when the runtime is going down.
            let _ = monitor.orders.send(order);
        }
    }

    /// Says whether any request is under way.
    fn listen(&mut self, now: Instant, returned: &mut bool) -> bool {
        let Some(silence) = &mut self.silence else { return false };
        let mut slowest = Duration::ZERO;
        self.heard.clear();
        self.heard.extend(self.members.iter().map(|upstream| {
            let (heard, took) = upstream.heard();
            slowest = slowest.max(took);
            heard
        }));
        for (at, verdict) in silence.judge(now, slowest, &self.heard) {
            carry_out(verdict, &self.members[at], returned);
        }
        let busy = silence.is_at_work() || self.heard.iter().any(|heard| heard.waiting > 0);
        if busy {
            let elsewhere = self.members.iter().any(|upstream| upstream.load.is_ready());
            for (at, upstream) in self.members.iter().enumerate() {
                let is_down = upstream.is_down() && elsewhere;
                upstream.set_stuck(is_down && silence.is_stuck(at, now));
                if upstream.hangs() {
                    // Those that couldn't leave when it was found out, or were on
                    // their way, look again.
                    upstream.notify();
                }
            }
        }
        busy
    }
}

fn carry_out(verdict: Verdict, upstream: &Upstream, returned: &mut bool) {
    let endpoint = &upstream.tag;
    match verdict {
        Verdict::Eject { .. } => {
            tracing::warn!("{endpoint} {verdict}");
            upstream.metrics.ejected_silent.increment(1);
            upstream.findings.set_trouble(Speaker::Silence, Some(verdict.to_string()));
            upstream.set_silent(true);
        }
        Verdict::Sound => {
            tracing::debug!("{endpoint} {verdict}");
            upstream.sound();
        }
        Verdict::Try => {
            tracing::debug!("{endpoint} {verdict}");
            upstream.set_trial(true);
            upstream.set_silent(false);
            *returned = true;
        }
        Verdict::Return => {
            tracing::info!("{endpoint} {verdict}");
            answers_again(upstream);
            *returned = true;
        }
    }
}

/// Takes back all that silence was a reason for.
fn answers_again(upstream: &Upstream) {
    upstream.findings.set_trouble(Speaker::Silence, None);
    upstream.set_trial(false);
    upstream.set_silent(false);
}

impl Watched {
    /// Goes on where the one `before` has ended.
    fn start(settings: Settings, before: Option<JoinHandle<()>>, shared: &Arc<Shared>) -> Self {
        let members = Members::default();
        let known = Arc::clone(&members);
        let mut health = Health::<()>::new().on_event(move |event| observe(event, &known));
        if settings.eject {
            health = health.outliers(OutlierOptions::new().base_ejection(EJECTION));
        }
        if let Some(time) = settings.slow_start {
            health = health.slow_start(time);
        }
        let shared = Arc::clone(shared);
        let monitor = Monitor::new(health).on_change(move || shared.wake());
        let (orders, ordered) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // Two don't decide on the same endpoints.
                let _ = before.await;
            }
            watch(monitor, ordered, members).await;
        });
        Self { orders, task }
    }
}

/// By tag.
type Members = Arc<Mutex<HashMap<EndpointId, Arc<Upstream>>>>;

/// Runs a monitor until nobody has orders for it any more.
async fn watch(
    mut monitor: Monitor<()>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    members: Members,
) {
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Insert(upstream)) => {
                    monitor.insert(upstream.tag.clone(), (), Arc::clone(&upstream.load));
                    lock(&members).insert(upstream.tag.clone(), upstream);
                }
                Some(Order::Remove(tag)) => {
                    monitor.remove(&tag);
                    if let Some(upstream) = lock(&members).remove(&tag) {
                        release(&upstream);
                    }
                }
                // It looks at all of them when it goes on.
                Some(Order::Review) => {}
                None => break,
            },
            never = monitor.run() => match never {},
        }
    }
    lock(&members).values().for_each(|upstream| release(upstream));
}

/// Takes back all that a monitor has said.
fn release(upstream: &Upstream) {
    upstream.findings.set_trouble(Speaker::Monitor, None);
    if upstream.load.set_ejected(false) {
        upstream.findings.date();
    }
    upstream.load.set_share(1.0);
}

/// Shows what a monitor has found where people look.
fn observe(event: &health::Event<'_>, members: &Members) {
    let (Event::Ejected { id, .. } | Event::Returned { id }) = event else { return };
    let members = lock(members);
    let Some(upstream) = members.get(*id) else { return };
    upstream.findings.date();
    let Event::Ejected { reason, .. } = event else {
        return upstream.findings.set_trouble(Speaker::Monitor, None);
    };
    let counter = match reason {
        Reason::ConsecutiveFailures(_) => &upstream.metrics.ejected_failures,
        Reason::SuccessRate { .. } => &upstream.metrics.ejected_rate,
    };
    counter.increment(1);
    upstream.findings.set_trouble(Speaker::Monitor, Some(event.to_string()));
}
