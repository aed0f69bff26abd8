use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt, future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time};

use super::{
    Decision, Event, Health, Observation, Outliers, Panic, Status, Transition,
    options::Observer,
    prober::{Changed, Prober},
    slow_start::Warmup,
};
use crate::{clock, endpoint::EndpointId, load::Load};

/// Finds out the health of a pool of endpoints and writes it into their
/// [`Load`]s.
///
/// It belongs to whoever owns the pool, who tells it of every endpoint and lets
/// it [run](Self::run) in between. It is the only one who may call
/// [`set_healthy`](Load::set_healthy), [`set_ejected`](Load::set_ejected),
/// [`set_panic`](Load::set_panic) and [`set_share`](Load::set_share);
/// [`set_ready`](Load::set_ready) is the owner's.
pub struct Monitor<T> {
    members: HashMap<EndpointId, Member>,
    prober: Option<Prober<T>>,
    outliers: Option<Outliers>,
    warmup: Option<Warmup>,
    panic: Panic,
    /// An endpoint has failed often enough in a row to be ejected.
    alarm: Arc<Notify>,
    alarm_at: u32,
    /// Alarms wait until then.
    quiet_until: Instant,
    /// All that is neither an alarm nor a timer waits until then.
    review_from: Instant,
    /// Something has changed from which ejections, panic or shares may follow.
    stale: bool,
    #[cfg(test)]
    reviews: usize,
    /// A flag of a load has been changed, of which nobody has been told.
    flipped: bool,
    observer: Option<Observer>,
    on_change: Option<Box<dyn Fn() + Send + Sync>>,
}

struct Member {
    load: Arc<Load>,
    priority: u32,
    /// Whether it could be picked without a panic, when last looked at.
    ready: bool,
}

/// How often the pool is reviewed, which is a look at every endpoint: in one that
/// starts or fails as a whole each check asks for it, and each request raises an
/// alarm. The two don't wait for each other, as an alarm is to eject at once.
const REVIEW_PAUSE: Duration = Duration::from_millis(10);

impl<T: Send + Sync + 'static> Monitor<T> {
    /// A monitor of no endpoints.
    pub fn new(health: Health<T>) -> Self {
        let now = clock::now();
        let Health { check, active, probes, outliers, slow_start, panic_threshold, observer } =
            health;
        Self {
            members: HashMap::new(),
            prober: check.map(|check| Prober::new(check, active, probes)),
            alarm_at: outliers.as_ref().map_or(0, |options| options.consecutive_failures),
            outliers: outliers.map(|options| Outliers::new(options, now)),
            warmup: slow_start.map(Warmup::new),
            panic: Panic::new(panic_threshold),
            alarm: Arc::new(Notify::new()),
            quiet_until: now,
            review_from: now,
            stale: false,
            #[cfg(test)]
            reviews: 0,
            flipped: false,
            observer,
            on_change: None,
        }
    }

    /// Calls `wake` each time what was found may have made endpoints ready: who
    /// waits for one may look again.
    #[must_use]
    pub fn on_change(mut self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_change = Some(Box::new(wake));
        self
    }

    /// Adds an endpoint that is new, or whose target is another one: nothing is
    /// known of it then. Do this before the endpoint can be picked. Where only
    /// the owner's word has changed, it is enough to [run](Self::run) again:
    /// endpoints are checked whether they are wanted or not.
    pub fn insert(&mut self, id: EndpointId, target: T, load: Arc<Load>) {
        self.remove(&id);
        let now = clock::now();
        load.set_ejected(false);
        load.set_panic(self.panic.is_on());
        load.set_healthy(self.prober.is_none());
        if let Some(warmup) = &self.warmup {
            warmup.await_ready(&load);
        }
        if let Some(outliers) = &mut self.outliers {
            outliers.insert(now, id.clone(), load.results());
            if self.alarm_at > 0 {
                load.alert(self.alarm_at, Arc::clone(&self.alarm));
            }
        }
        if let Some(prober) = &mut self.prober {
            prober.insert(now, id.clone(), target);
        }
        self.members.insert(id, Member { load, priority: 0, ready: false });
        self.stale = true;
    }

    /// Says to which level an endpoint belongs; 0 unless said here.
    pub fn set_priority(&mut self, id: &EndpointId, priority: u32) {
        if let Some(member) = self.members.get_mut(id) {
            self.stale |= std::mem::replace(&mut member.priority, priority) != priority;
        }
    }

    /// Forgets an endpoint. A check under way is dropped, and its result counts
    /// for nothing.
    pub fn remove(&mut self, id: &EndpointId) {
        if self.members.remove(id).is_none() {
            return;
        }
        if let Some(prober) = &mut self.prober {
            prober.remove(id);
        }
        if let Some(outliers) = &mut self.outliers {
            outliers.remove(id);
        }
        if let Some(warmup) = &mut self.warmup {
            warmup.cancel(id);
        }
        self.stale = true;
    }

    /// Watches until the future is dropped; it never ends by itself. The next
    /// call goes on where this one was, so it can be one branch of a `select!`
    /// in a loop. Checks that are under way keep running in between.
    ///
    /// It needs a tokio runtime with time enabled.
    pub async fn run(&mut self) -> Infallible {
        // The owner may have changed his word on any of them.
        self.stale = true;
        loop {
            let now = clock::now();
            self.advance(now);
            let wake = self.next_at(now);
            let Self { prober, alarm, quiet_until, .. } = self;
            let ended = async {
                match prober {
                    Some(prober) => prober.ended().await,
                    None => future::pending().await,
                }
            };
            let sleep = async {
                match wake {
                    Some(at) => time::sleep_until(at.into()).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                changed = ended => self.apply(changed),
                () = alarm.notified(), if *quiet_until <= now => {
                    let now = clock::now();
                    *quiet_until = now + REVIEW_PAUSE;
                    self.review(now);
                }
                () = sleep => {}
            }
        }
    }

    /// Does all that is due, and waits for nothing.
    fn advance(&mut self, now: Instant) {
        while let Some(changed) = self.prober.as_mut().and_then(|prober| prober.try_ended(now)) {
            self.apply(changed);
        }
        if let Some(prober) = &mut self.prober {
            prober.start(now);
        }
        let due = self.stale && self.review_from <= now;
        if due || self.outliers.as_ref().is_some_and(|outliers| outliers.next_at() <= now) {
            self.review(now);
        }
        if let Some(warmup) = &mut self.warmup {
            warmup.advance(now);
        }
        if std::mem::take(&mut self.flipped)
            && let Some(wake) = &self.on_change
        {
            wake();
        }
    }

    fn next_at(&self, now: Instant) -> Option<Instant> {
        [
            self.prober.as_ref().and_then(Prober::next_at),
            self.outliers.as_ref().map(Outliers::next_at),
            self.warmup.as_ref().and_then(Warmup::next_at),
            self.stale.then_some(self.review_from),
            Some(self.quiet_until).filter(|until| *until > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Acts on the result of a check.
    fn apply(&mut self, changed: Option<Changed>) {
        let Some(Changed { id, transition, result }) = changed else { return };
        let Some(member) = self.members.get(&id) else { return };
        if let Some(warmup) = &self.warmup {
            // Picks see it before the next review. In a panic those that fail
            // count in full, whether they ever were ready or not.
            match transition {
                Transition::Healthy if !self.is_ejected(&id) => warmup.await_ready(&member.load),
                Transition::Healthy => {}
                Transition::Unhealthy => member.load.set_share(1.0),
            }
        }
        self.flipped |= member.load.set_healthy(transition == Transition::Healthy);
        self.stale = true;
        match result {
            Ok(()) => self.tell(&Event::Healthy { id: &id }),
            Err(reason) => self.tell(&Event::Unhealthy { id: &id, reason: &reason }),
        }
    }

    /// Looks at the pool as a whole.
    fn review(&mut self, now: Instant) {
        self.stale = false;
        self.review_from = now + REVIEW_PAUSE;
        #[cfg(test)]
        {
            self.reviews += 1;
        }
        for decision in self.judge(now) {
            match decision {
                Decision::Eject { id, reason, duration } => {
                    self.set_ejected(&id, true);
                    self.tell(&Event::Ejected { id: &id, reason, duration });
                }
                Decision::Return { id } => {
                    self.set_ejected(&id, false);
                    self.tell(&Event::Returned { id: &id });
                }
            }
        }

        let mut levels: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (id, member) in &mut self.members {
            let status = status(self.prober.as_ref(), id);
            let is_wanted = member.load.is_wanted();
            let ejected = self.outliers.as_ref().is_some_and(|outliers| outliers.is_ejected(id));
            let (wanted, good) = levels.entry(member.priority).or_default();
            *wanted += usize::from(is_wanted);
            *good += usize::from(is_wanted && status != Status::Unhealthy && !ejected);
            let ready = is_wanted && status == Status::Healthy && !ejected;
            if std::mem::replace(&mut member.ready, ready) != ready
                && let Some(warmup) = &mut self.warmup
            {
                if ready {
                    warmup.begin(now, id.clone(), Arc::clone(&member.load));
                } else {
                    warmup.cancel(id);
                }
            }
        }
        let levels: Vec<_> = levels.into_values().filter(|(wanted, _)| *wanted > 0).collect();
        if let Some(panic) = self.panic.update(&levels) {
            let wanted = levels.iter().map(|(wanted, _)| wanted).sum();
            let good = levels.iter().map(|(_, good)| good).sum();
            self.members.values().for_each(|member| _ = member.load.set_panic(panic));
            self.flipped = true;
            self.tell(&if panic {
                Event::PanicBegan { good, wanted }
            } else {
                Event::PanicEnded { good, wanted }
            });
        }
    }

    fn judge(&mut self, now: Instant) -> Vec<Decision> {
        let Self { outliers, members, prober, .. } = self;
        let Some(outliers) = outliers else { return Vec::new() };
        outliers.judge(now, |id| {
            let load = members.get(id).map(|member| &member.load);
            Observation {
                results: load.map(|load| load.results()).unwrap_or_default(),
                wanted: load.is_some_and(|load| load.is_wanted()),
                // Who hangs isn't somebody to count on, whatever else he does.
                healthy: status(prober.as_ref(), id) == Status::Healthy
                    && !load.is_some_and(|load| load.is_silent()),
            }
        })
    }

    fn is_ejected(&self, id: &EndpointId) -> bool {
        self.outliers.as_ref().is_some_and(|outliers| outliers.is_ejected(id))
    }

    fn set_ejected(&mut self, id: &EndpointId, ejected: bool) {
        if let Some(member) = self.members.get(id) {
            self.flipped |= member.load.set_ejected(ejected);
        }
    }

    fn tell(&self, event: &Event<'_>) {
        event.log();
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

/// Without checks everything is healthy.
fn status<T: Send + Sync + 'static>(prober: Option<&Prober<T>>, id: &EndpointId) -> Status {
    prober.map_or(Status::Healthy, |prober| prober.status(id))
}

impl<T> fmt::Debug for Monitor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("endpoints", &self.members.len())
            .field("panic", &self.panic)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
