use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use ::metrics::Histogram;
use tokio::{
    sync::mpsc,
    time::{self, MissedTickBehavior},
};

use super::{
    Controls, Options,
    controls::{Command, Drained},
    drains::Drains,
    findings::Speaker,
    journal::Journal,
    managed::ManagedUpstream,
    pools::Pools,
    probe::{explain, hint, probe},
    proxy::Shared,
    reminder::Reminder,
    since::Calendar,
    table::Table,
    upstream::{Key, Upstream},
};
use crate::{
    clock,
    discovery::{Change, Discovery},
    endpoint::State,
    health::Readiness,
    metrics,
    registry::{Lingering, PlannedEndpoint, Registration, Registry},
};

type Source = Pin<Box<dyn Discovery<Target = Registration, Item = Change<Registration>>>>;

/// Reads what sources register, probes who is new, and publishes who answers
/// for what to its [`Proxy`](super::Proxy).
///
/// Everything that decides who is routed happens in this one task.
#[must_use = "a proxy has no routes until its driver runs"]
pub struct Driver {
    shared: Arc<Shared>,
    options: Arc<Options>,
    controls: Controls,
    commands: mpsc::UnboundedReceiver<Command>,
    sources: Vec<(Arc<str>, Source)>,
    /// Sources that have not spoken yet.
    silent: HashSet<Arc<str>>,
    registry: Registry,
    lingering: Lingering,
    pools: Pools,
    upstreams: HashMap<Key, ManagedUpstream>,
    drains: Drains,
    /// How long endpoints take to be ready, by their source.
    readiness: HashMap<Arc<str>, Histogram>,
    journal: Journal,
    calendar: Calendar,
    reminder: Reminder,
    suspects: mpsc::UnboundedSender<Key>,
    suspected: mpsc::UnboundedReceiver<Key>,
    probed: mpsc::UnboundedReceiver<Probed>,
    probes: mpsc::UnboundedSender<Probed>,
}

/// A probe has succeeded.
struct Probed {
    upstream: Arc<Upstream>,
    attempts: u32,
    took: Duration,
}

/// What takes longer to accept connections than this may not be about to.
const LONG: Duration = Duration::from_secs(10);

/// How often connections nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(10);

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        suspects: mpsc::UnboundedSender<Key>,
        suspected: mpsc::UnboundedReceiver<Key>,
    ) -> Self {
        let (probes, probed) = mpsc::unbounded_channel();
        let (controls, commands) = Controls::new();
        Self {
            options: Arc::clone(&shared.table.load().options),
            pools: Pools::new(Arc::clone(&shared)),
            shared,
            controls,
            commands,
            sources: Vec::new(),
            silent: HashSet::new(),
            registry: Registry::new(),
            lingering: Lingering::default(),
            upstreams: HashMap::new(),
            drains: Drains::new(clock::now()),
            readiness: HashMap::new(),
            journal: Journal::default(),
            calendar: Calendar::default(),
            reminder: Reminder::default(),
            suspects,
            suspected,
            probed,
            probes,
        }
    }

    /// Adds a source, under a name that reports and logs will show. Sources
    /// combine: all that name the same host serve it together.
    pub fn source(
        mut self,
        name: &str,
        discovery: impl Discovery<Target = Registration> + 'static,
    ) -> Self {
        let name: Arc<str> = name.into();
        self.silent.insert(Arc::clone(&name));
        self.readiness.insert(Arc::clone(&name), metrics::ready(&name));
        self.sources.push((name, Box::pin(discovery)));
        self
    }

    /// What steers it once it runs.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Works until it is dropped. Spawn it on a tokio runtime.
    pub async fn run(mut self) {
        self.settle();
        let mut sweep = time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut listen_at, mut remind_at) = (clock::now(), clock::now());
        loop {
            let lingers = self.lingering.next_end();
            let drains = self.drains.look_at();
            let Self { sources, suspected, probed, commands, .. } = &mut self;
            tokio::select! {
                changes = poll_fn(|cx| next(sources, cx)) => {
                    for (source, change) in changes {
                        self.registry.apply(&source, change);
                        self.silent.remove(&source);
                    }
                    self.publish();
                    self.settle();
                }
                Some(probed) = probed.recv() => self.accepts(&probed),
                Some(key) = suspected.recv() => self.probe(&key),
                Some(command) = commands.recv() => self.obey(command),
                () = time::sleep_until(listen_at.into()) => {
                    let pause = self.pools.listen(clock::now());
                    listen_at = clock::now() + pause;
                }
                () = time::sleep_until(remind_at.into()) => {
                    let there = self.upstreams.values().map(|managed| &*managed.upstream);
                    let pause = self.reminder.remind(there, self.options.answer_timeout);
                    remind_at = clock::now() + pause;
                }
                () = until(lingers) => self.publish(),
                () = until(drains) => self.drains.look(clock::now()),
                _ = sweep.tick() => {
                    let now = clock::now();
                    self.upstreams.values().for_each(|managed| managed.upstream.close_stale(now));
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drain { who, drained, reply } => {
                let done = self.set_drained(&who, drained);
                // Who asked may have lost interest.
                let _ = reply.send(done);
            }
            Command::Reload { options, reply } => {
                // Workers have their own stacks of connections by now.
                self.options = Arc::new(Options { workers: self.options.workers, ..*options });
                self.publish();
                // They may have been verified by what counts no more.
                let there = self.upstreams.values().map(|managed| &managed.upstream);
                let secure = there.filter(|upstream| upstream.transport.protocol.is_tls());
                secure.for_each(|upstream| upstream.renew());
                let _ = reply.send(());
            }
        }
    }

    fn set_drained(&mut self, who: &str, drained: bool) -> Drained {
        let names = self.registry.set_drained(who, drained)?;
        let verb = if drained { "is drained" } else { "is used again" };
        names.iter().for_each(|name| tracing::info!(endpoint = %name, "{verb} by command"));
        self.publish();
        Ok(names)
    }

    /// Says so once every source has said who is there.
    fn settle(&self) {
        if self.silent.is_empty() {
            self.shared.settled.send_replace(true);
        }
    }

    /// Makes what is registered true: endpoints, probes, and one new table.
    fn publish(&mut self) {
        let mut plan = self.registry.plan();
        self.journal.record(&plan);
        let since = self.calendar.record(&plan, SystemTime::now());
        self.lingering.extend(&mut plan, clock::now(), self.options.wait);

        let mut gone: HashSet<Key> = self.upstreams.keys().cloned().collect();
        let (mut known, mut there) = (HashSet::new(), HashSet::new());
        for endpoint in plan.services.iter().flat_map(|service| &service.endpoints) {
            known.insert(&endpoint.id);
            if let Some(address) = endpoint.address {
                let key = (endpoint.id.clone(), address, endpoint.transport.clone());
                gone.remove(&key);
                there.insert((&endpoint.id, address));
                self.want(&key, endpoint);
            }
        }
        for key in gone {
            if let Some(managed) = self.upstreams.remove(&key) {
                self.reminder.left(&managed.upstream);
                let (id, address, _) = &key;
                // It may merely be spoken to in another way from now on.
                let ended = known.contains(id) && !there.contains(&(id, *address));
                if managed.is_wanted() && !ended {
                    self.drains.begin(&managed.upstream, clock::now());
                }
                managed.retire(ended);
            }
        }

        let upstreams = self
            .upstreams
            .iter()
            .map(|(key, managed)| (key.clone(), Arc::clone(&managed.upstream)))
            .collect();
        let before = self.shared.table.load();
        let table: Table = before.next(plan, since, &upstreams, &self.options);
        drop(before);
        let table = Arc::new(table);
        self.shared.table.store(Arc::clone(&table));
        self.shared.wake();
        self.pools.update(&table.services, &self.options);
    }

    fn want(&mut self, key: &Key, endpoint: &PlannedEndpoint) {
        let wanted = endpoint.is_wanted();
        let managed = self.upstreams.entry(key.clone()).or_insert_with(|| {
            let upstream = Upstream::new(
                key.clone(),
                Arc::clone(&endpoint.name),
                self.options.workers,
                self.suspects.clone(),
            );
            let readiness = self.readiness.get(&endpoint.source).cloned();
            ManagedUpstream::new(upstream, readiness.unwrap_or_else(Histogram::noop))
        });
        managed.upstream.set_down(matches!(endpoint.state, State::Down(_)));
        match endpoint.state {
            State::Draining => managed.upstream.set_leaving(true),
            State::Active => managed.upstream.set_leaving(false),
            // What it was told before still holds.
            State::Down(_) => {}
        }
        if wanted == managed.is_wanted() {
            return;
        }
        managed.set_wanted(wanted, clock::now());
        if wanted {
            self.drains.end(&managed.upstream);
            self.probe(key);
        } else {
            managed.rest();
            if !matches!(endpoint.state, State::Down(_)) {
                self.drains.begin(&managed.upstream, clock::now());
            }
        }
    }

    /// Starts probing an endpoint that is wanted and not being probed.
    fn probe(&mut self, key: &Key) {
        let Some(managed) = self.upstreams.get_mut(key) else { return };
        if !managed.is_wanted() || managed.probe.is_some() {
            return;
        }
        let upstream = Arc::clone(&managed.upstream);
        let (shared, done) = (Arc::clone(&self.shared), self.probes.clone());
        let probe = async move {
            let started = Instant::now();
            let readiness = Readiness::new(started);
            let (mut attempts, mut warned) = (1, false);
            loop {
                // They may be others by now.
                let options = Arc::clone(&shared.table.load().options);
                let probed = probe(&upstream, &options).await;
                let Err(error) = probed else { break };
                tracing::trace!(endpoint = %upstream.name, %error, "is not there yet");
                upstream.findings.set_trouble(Speaker::Probe, Some(explain(&upstream, &error)));
                if !warned && started.elapsed() > LONG {
                    warned = true;
                    let (why, hint) = (explain(&upstream, &error), hint(&error));
                    tracing::warn!(endpoint = %upstream.name, "{why}; {hint}");
                }
                time::sleep(readiness.pause(Instant::now())).await;
                attempts += 1;
            }
            // Fails only when the driver is gone.
            let _ = done.send(Probed { upstream, attempts, took: started.elapsed() });
        };
        managed.probe = Some(tokio::spawn(probe).abort_handle());
    }

    /// An endpoint has accepted a connection: requests may go there.
    fn accepts(&mut self, Probed { upstream, attempts, took }: &Probed) {
        let Some(managed) = self.upstreams.get_mut(&upstream.key()) else { return };
        // It may have been unwanted, or replaced, since the probe reported.
        if !managed.is_wanted() || !Arc::ptr_eq(&managed.upstream, upstream) {
            return;
        }
        // A later probe, if this one reported late, has nothing left to find.
        if let Some(probe) = managed.probe.take() {
            probe.abort();
        }
        managed.became_ready(clock::now());
        upstream.findings.set_trouble(Speaker::Probe, None);
        upstream.set_ready(true);
        self.pools.review(upstream);
        self.shared.wake();
        tracing::info!(
            endpoint = %upstream.name,
            address = %upstream.address,
            attempts,
            ?took,
            "is routed: it accepts connections"
        );
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for managed in self.upstreams.values() {
            if let Some(probe) = &managed.probe {
                probe.abort();
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Changes taken in one go at most, so that sources which never pause can't
/// keep what they say from being published.
const BATCH: usize = 1024;

/// All that the sources have to say at this moment, if anything.
fn next(
    sources: &mut Vec<(Arc<str>, Source)>,
    cx: &mut Context<'_>,
) -> Poll<Vec<(Arc<str>, Change<Registration>)>> {
    let mut changes = Vec::new();
    sources.retain_mut(|(name, source)| {
        for _ in 0..BATCH {
            match source.as_mut().poll_next(cx) {
                Poll::Ready(Some(change)) => changes.push((Arc::clone(name), change)),
                // What a source that has ended said stays in force.
                Poll::Ready(None) => return false,
                Poll::Pending => return true,
            }
        }
        cx.waker().wake_by_ref();
        true
    });
    if changes.is_empty() { Poll::Pending } else { Poll::Ready(changes) }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
