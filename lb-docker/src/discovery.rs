use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use futures_core::Stream;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lb_core::{discovery::Change, registry::Registration};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, interval_at, sleep},
};
use tracing::{debug, info, warn};

use crate::{
    container::{Container, Summary},
    engine::{Engine, EngineError},
    metrics::Metrics,
    network::Vantage,
    options::Options,
    own::look_around,
    reconcile::{Action, Inspected, Reconciler},
    status::Status,
    watch::Watch,
};

/// Time between two pings, and how many may fail in a row: an engine that hangs
/// keeps its connections open and says nothing.
const PING: Duration = Duration::from_secs(2);
const PINGS_MISSED: u32 = 2;

/// The engine's list lags behind its events. What ended just before we
/// subscribed may still be on the first list; a second one shows it.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// How often time is told to the reconciler.
const TICK: Duration = Duration::from_millis(250);

/// Inspections at once. More would only queue inside the engine.
const INSPECTS: usize = 32;

/// The pause before a new connection is made, and its growth.
const BACKOFF: Duration = Duration::from_millis(25);
const BACKOFF_LIMIT: Duration = Duration::from_millis(200);

/// The containers of a Docker engine, as a stream of changes.
///
/// It is a [`Discovery`](lb_core::Discovery) of registrations. The work is done
/// by a task of its own, which ends when this is dropped.
#[derive(Debug)]
#[must_use = "discovery ends when its stream is dropped"]
pub struct DockerDiscovery(mpsc::UnboundedReceiver<Change<Registration>>);

impl DockerDiscovery {
    /// Starts to discover on the current runtime.
    ///
    /// The first change is a [`Change::Reset`] of all there is, as soon as the
    /// engine has told it. An engine that can't be reached is tried again until
    /// it can; what is wrong shows in the [`Status`] and in the log.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(options: Options) -> (Self, Status) {
        let status = Status::new();
        let (changes, receiver) = mpsc::unbounded_channel();
        let task = Task {
            reconciler: Reconciler::new(options.filters.clone()),
            unsettled: HashMap::new(),
            options,
            status: status.clone(),
            metrics: Metrics::register(),
            changes,
        };
        tokio::spawn(task.run());
        (Self(receiver), status)
    }
}

impl Stream for DockerDiscovery {
    type Item = Change<Registration>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// However it ends, nobody is to think that the containers are still followed.
impl Drop for Task {
    fn drop(&mut self) {
        self.metrics.connected.set(0.0);
        self.status.update(|report| {
            report.connected = false;
            report.last_error.get_or_insert_with(|| "discovery has ended".into());
        });
    }
}

/// What lasts from one connection to the next.
struct Task {
    options: Options,
    reconciler: Reconciler,
    /// The time stamps of events, by container, whose meaning is not known yet; of
    /// several the oldest.
    unsettled: HashMap<Arc<str>, SystemTime>,
    status: Status,
    metrics: Metrics,
    changes: mpsc::UnboundedSender<Change<Registration>>,
}

impl Task {
    async fn run(mut self) {
        self.metrics.connected.set(0.0);
        let reader = self.changes.clone();
        tokio::select! {
            () = self.discover() => {}
            () = reader.closed() => debug!("nobody reads the containers any more"),
        }
    }

    async fn discover(&mut self) {
        let mut backoff = BACKOFF;
        loop {
            let error = match self.connect().await {
                Ok((session, watch)) => {
                    backoff = BACKOFF;
                    let Err(error) = self.follow(session, watch).await;
                    error
                }
                Err(error) => error,
            };
            self.lost(&error);
            // Half of it is chance, so that many balancers don't come as one.
            sleep(backoff.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
            backoff = (backoff * 2).min(BACKOFF_LIMIT);
        }
    }

    /// Subscribes before anything is asked, so that what happens in between is
    /// not missed.
    async fn connect(&mut self) -> Result<(Session, Watch), EngineError> {
        let engine = Arc::new(Engine::connect(&self.options).await?);
        let watch = Watch::subscribe(&engine).await?;
        let (vantage, own) = look_around(&engine, &self.options).await?;
        self.reconciler.reconnected();
        self.unsettled.clear();
        self.look_from(vantage, own);

        let version = engine.version().clone();
        info!(engine = version.engine, api = version.api, "connected to the Docker engine");
        self.metrics.connected.set(1.0);
        self.status.contact();
        self.status.update(|report| {
            report.connected = true;
            report.version = Some(version);
            report.last_error = None;
        });
        let session = Session { engine, running: FuturesUnordered::new(), queue: VecDeque::new() };
        Ok((session, watch))
    }

    /// Follows what the engine says until the connection is lost.
    async fn follow(
        &mut self,
        mut session: Session,
        mut watch: Watch,
    ) -> Result<std::convert::Infallible, EngineError> {
        session.list();
        let mut second_look = Box::pin(sleep(SECOND_LOOK)).fuse();
        let start = tokio::time::Instant::now() + self.options.reconcile;
        let mut reconcile = interval_at(start, self.options.reconcile);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let heartbeat = heartbeat(Arc::clone(&session.engine), self.status.clone());
        let mut heartbeat = std::pin::pin!(heartbeat);
        loop {
            tokio::select! {
                // An answer that an event has overtaken is out of date.
                biased;
                event = watch.next() => {
                    let event = event?;
                    debug!(event = ?event.what, "event");
                    self.status.contact();
                    self.metrics.event(event.what.name());
                    let (about, stamped) = (event.what.container().cloned(), event.stamped);
                    self.reconciler.event(event);
                    if let Some(id) = about {
                        self.considered(&id, stamped);
                    }
                }
                Some(answer) = session.running.next() => self.answered(&mut session, answer)?,
                error = &mut heartbeat => return Err(error),
                _ = tick.tick() => self.reconciler.tick(Instant::now()),
                _ = reconcile.tick() => session.list(),
                () = &mut second_look => session.list(),
            }
            self.act(&mut session);
        }
    }

    fn answered(&mut self, session: &mut Session, answer: Answer) -> Result<(), EngineError> {
        let now = Instant::now();
        match answer {
            Answer::Listed(began, list) => self.reconciler.listed(now, began, &list?),
            Answer::LookedAround(seen) => {
                let (vantage, own) = seen?;
                self.look_from(vantage, own);
            }
            Answer::Inspected(id, result) => {
                session.inspect_next();
                let inspected = match result {
                    Ok(Some(container)) => Inspected::Found(Box::new(container)),
                    Ok(None) => Inspected::Missing,
                    Err(error) => {
                        debug!(%id, %error, "container can't be inspected; trying again");
                        Inspected::Failed
                    }
                };
                self.reconciler.inspected(now, &id, inspected);
                self.considered(&id, None);
            }
        }
        self.status.contact();
        Ok(())
    }

    /// An event that was `stamped`, or an inspection, has been considered. What a
    /// container's event means may be known only once that is inspected.
    fn considered(&mut self, id: &Arc<str>, stamped: Option<SystemTime>) {
        if self.reconciler.is_settled(id) {
            if let Some(stamped) = self.unsettled.remove(id).or(stamped) {
                self.metrics.lag(stamped);
            }
        } else if let Some(stamped) = stamped {
            self.unsettled.entry(Arc::clone(id)).or_insert(stamped);
        }
    }

    fn look_from(&mut self, vantage: Vantage, own: Option<Container>) {
        match (&own, &vantage) {
            (None, _) => debug!("the balancer runs outside of the engine's containers"),
            (Some(own), Vantage::Host) => {
                debug!(container = %own.name, "runs in the host's network");
            }
            (Some(own), Vantage::Networks { networks, .. }) => {
                let networks: Vec<_> = networks.iter().map(|network| &network.name).collect();
                debug!(container = %own.name, ?networks, "runs in a container");
            }
        }
        self.reconciler.look_from(vantage, own.map(|own| own.id));
    }

    /// Does what the reconciler wants done.
    fn act(&mut self, session: &mut Session) {
        let actions = self.reconciler.actions();
        if actions.is_empty() {
            return;
        }
        let mut inspects = 0;
        let mut complete = false;
        for action in actions {
            match action {
                Action::Emit(change) => {
                    if let Change::Reset(_) = change {
                        complete = true;
                        self.metrics.resyncs.increment(1);
                    }
                    debug!(?change);
                    // Who no longer reads ends the task.
                    let _ = self.changes.send(change);
                }
                Action::Inspect(id) => {
                    inspects += 1;
                    session.inspect(id);
                }
                Action::List => session.list(),
                Action::LookAround => session.look_around(self.options.clone()),
            }
        }
        self.metrics.inspects.increment(inspects);
        let containers = self.reconciler.len();
        self.status.update(|report| {
            report.synced |= complete;
            report.containers = containers;
            report.inspects += inspects;
        });
    }

    /// Says once what is wrong, not at each attempt.
    fn lost(&mut self, error: &EngineError) {
        let text = error.to_string();
        self.metrics.connected.set(0.0);
        self.status.update(|report| {
            if report.connected || report.last_error.as_ref() != Some(&text) {
                warn!(error = text, "no Docker engine; what is known stays in force");
            }
            report.connected = false;
            report.last_error = Some(text);
        });
    }
}

/// One connection, and what is asked over it.
struct Session {
    engine: Arc<Engine>,
    running: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Inspections for which there is no room yet.
    queue: VecDeque<Arc<str>>,
}

enum Answer {
    Listed(Instant, Result<Vec<Summary>, EngineError>),
    Inspected(Arc<str>, Result<Option<Container>, EngineError>),
    LookedAround(Result<(Vantage, Option<Container>), EngineError>),
}

impl Session {
    fn list(&self) {
        let engine = Arc::clone(&self.engine);
        let began = Instant::now();
        self.running.push(async move { Answer::Listed(began, engine.list().await) }.boxed());
    }

    fn look_around(&self, options: Options) {
        let engine = Arc::clone(&self.engine);
        let look = async move { Answer::LookedAround(look_around(&engine, &options).await) };
        self.running.push(look.boxed());
    }

    fn inspect(&mut self, id: Arc<str>) {
        self.queue.push_back(id);
        if self.running.len() < INSPECTS {
            self.inspect_next();
        }
    }

    fn inspect_next(&mut self) {
        let Some(id) = self.queue.pop_front() else { return };
        let engine = Arc::clone(&self.engine);
        let inspect = async move {
            let found = engine.inspect(&id).await;
            Answer::Inspected(id, found)
        };
        self.running.push(inspect.boxed());
    }
}

/// Ends when the engine no longer answers.
async fn heartbeat(engine: Arc<Engine>, status: Status) -> EngineError {
    let mut missed = 0;
    loop {
        sleep(PING).await;
        match engine.ping().await {
            Ok(()) => {
                missed = 0;
                status.contact();
            }
            Err(error) => {
                missed += 1;
                debug!(%error, missed, "ping not answered");
                if missed == PINGS_MISSED {
                    return error;
                }
            }
        }
    }
}
