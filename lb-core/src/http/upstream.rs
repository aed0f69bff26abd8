use std::{
    fmt, io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::{Request, Response};
use ::metrics::Histogram;
use hyper::body::Incoming;
use tokio::sync::{Notify, mpsc};

use super::{
    Options,
    body::RequestBody,
    client::Client,
    connection::Connection,
    findings::{Findings, Speaker},
    forward::{Leave, Waits},
    lane::Lane,
    unanswered::{Unanswered, failed},
};
use crate::{clock, endpoint::EndpointId, health::Heard, load::Load, metrics, registry::Transport};

/// One address of one endpoint, and the connections to it.
///
/// Because they belong to the endpoint's identity and not to its address, they go
/// when it goes: the next owner of the address never sees them.
pub(super) struct Upstream {
    pub(super) id: EndpointId,
    pub(super) name: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    /// Names it where decisions on health are made: an endpoint with several
    /// addresses is several upstreams.
    pub(super) tag: EndpointId,
    pub(super) load: Arc<Load>,
    pub(super) metrics: metrics::Upstream,
    lanes: Box<[Lane]>,
    /// Connections that were opened before, as [`clock::nanos`], are not kept.
    renewed: AtomicU64,
    /// Its source has said that it was told to.
    leaving: AtomicBool,
    retired: AtomicBool,
    /// It has been retired for so long that no answer can come any more.
    cut_off: AtomicBool,
    /// And requests were in flight then.
    cut_short: AtomicBool,
    left: Notify,
    /// Its source says that it can't serve.
    down: AtomicBool,
    /// And it answers none of what it still has.
    stuck: AtomicBool,
    /// One that waits for it may go elsewhere.
    sounded: AtomicBool,
    trial: AtomicU8,
    pub(super) findings: Findings,
    /// Tells the driver that it has to be probed again.
    suspects: mpsc::UnboundedSender<Key>,
}

/// An endpoint may listen at several addresses, and be spoken to in this or that way
/// there.
pub(super) type Key = (EndpointId, SocketAddr, Transport);

/// Whether a request may go to an upstream.
pub(super) enum Admission {
    Free,
    /// It is the one that the upstream is tried with.
    OnTrial(Trial),
    No,
}

/// An attempt at an upstream on trial; another one may be made when it is over.
pub(super) struct Trial(Arc<Upstream>);

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.step_trial(TRIAL_TAKEN, TRIAL_OPEN);
    }
}

/// The stages of a trial.
const NO_TRIAL: u8 = 0;
const TRIAL_OPEN: u8 = 1;
const TRIAL_TAKEN: u8 = 2;

impl Upstream {
    pub(super) fn new(
        (id, address, transport): Key,
        name: Arc<str>,
        workers: usize,
        suspects: mpsc::UnboundedSender<Key>,
    ) -> Self {
        Self {
            metrics: metrics::Upstream::new(&name),
            tag: format!("{name} ({address})").into(),
            id,
            name,
            address,
            transport,
            load: Arc::new(Load::new(false)),
            lanes: (0..workers.max(1)).map(|_| Lane::default()).collect(),
            renewed: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            cut_short: AtomicBool::new(false),
            left: Notify::new(),
            down: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            sounded: AtomicBool::new(false),
            trial: AtomicU8::new(NO_TRIAL),
            findings: Findings::none(),
            suspects,
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.id.clone(), self.address, self.transport.clone())
    }

    /// An idle connection of this worker, for a request of this client that may be
    /// repeated or not, and has met with a broken one `since`.
    pub(super) fn pooled(
        &self,
        worker: usize,
        client: &Arc<Client>,
        repeatable: bool,
        since: Option<Instant>,
    ) -> Option<Connection> {
        self.lane(worker).take(self.owner(client), repeatable, since)
    }

    /// A new connection for `worker` and a request of this client; or one that carries
    /// many requests and was opened after `since`. The time that took goes into
    /// `duration`.
    pub(super) async fn connect(
        &self,
        worker: usize,
        client: &Arc<Client>,
        options: &Options,
        since: Option<Instant>,
        duration: &Histogram,
    ) -> io::Result<Connection> {
        let (lane, owner) = (self.lane(worker), self.owner(client));
        if !self.transport.protocol.is_http2() {
            return self.open(owner, options, duration).await;
        }
        let open = async {
            let mut opened = self.open(owner, options, duration).await?;
            lane.share(&mut opened);
            Ok(opened)
        };
        lane.shared(owner, since, open).await
    }

    async fn open(
        &self,
        owner: Option<&Arc<Client>>,
        options: &Options,
        duration: &Histogram,
    ) -> io::Result<Connection> {
        let left = self.left.notified();
        if self.is_retired() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it has left"));
        }
        let started = clock::now();
        let opened = tokio::select! {
            biased;
            opened = Connection::open(self.address, &self.transport, owner, options) => opened,
            // Whoever accepts now may be another container.
            () = left => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it has left")),
        };
        match &opened {
            Ok(_) => {
                self.metrics.connected.increment(1);
                duration.record(started.elapsed());
            }
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => self.metrics.refused.increment(1),
                io::ErrorKind::TimedOut => self.metrics.timed_out.increment(1),
                io::ErrorKind::InvalidData => self.metrics.insecure.increment(1),
                _ => self.metrics.failed.increment(1),
            },
        }
        opened
    }

    /// Sends a request and waits for the head of its answer, for as long as one may
    /// come and `waits` allow. While the endpoint hangs, it may `leave`.
    pub(super) fn ask<'a>(
        &'a self,
        worker: usize,
        connection: &mut Connection,
        request: Request<RequestBody>,
        waits: Waits<'a>,
        leave: Option<Leave<'a>>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<'a> {
        let lane = self.lane(worker);
        let waiting = lane.wait(connection.reused);
        let cut = lane.cut.notified();
        let is_shared = connection.is_shared();
        let answer = connection.send(request);
        async move {
            let _waiting = waiting;
            let (mut cut, mut answer) = (pin!(cut), pin!(answer));
            loop {
                // Listened first and looked second: it can't be missed in between.
                if self.cut_off.load(Ordering::Acquire) {
                    return Err(Unanswered::Left);
                }
                tokio::select! {
                    biased;
                    answer = answer.as_mut() => {
                        return match answer {
                            Ok(response) => {
                                lane.answered(waits.started);
                                Ok(response)
                            }
                            Err(mut error) => Err(match error.take_message() {
                                Some(unsent) => Unanswered::Unsent(Box::new(unsent)),
                                None => failed(error.into_error(), is_shared),
                            }),
                        };
                    }
                    () = cut.as_mut() => {}
                }
                // Who can't leave doesn't take the leave of another.
                if let Some(leave) = leave.as_ref().filter(|leave| leave.is_possible())
                    && (self.hangs() || self.sounded.swap(false, Ordering::Relaxed))
                    && leave.is_granted()
                {
                    return Err(Unanswered::Hangs);
                }
                if waits.are_over() {
                    return Err(Unanswered::Late);
                }
                cut.set(lane.cut.notified());
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end, unless it is not
    /// going to be used.
    pub(super) fn keep(&self, worker: usize, connection: Connection) {
        let opened = clock::nanos(connection.opened());
        self.lane(worker).put(connection, || {
            self.load.is_ready() && opened > self.renewed.load(Ordering::Relaxed)
        });
    }

    /// Has connections opened anew: how that is done has changed.
    pub(super) fn renew(&self) {
        // Seen by whoever takes the lock later than closing does.
        self.renewed.store(clock::nanos(clock::now()), Ordering::Relaxed);
        self.close_idle();
    }

    /// Whether it is about to leave, or was when it left: then it is nobody's
    /// fault if it breaks off.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub(super) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Whether the endpoint has left: its address may be somebody else's.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether its source wants it used and it accepts connections. Says whether this
    /// changed anything.
    pub(super) fn set_ready(&self, ready: bool) -> bool {
        let changed = self.load.set_ready(ready);
        if changed {
            self.findings.date();
        }
        changed
    }

    /// The endpoint has left for good.
    pub(super) fn retire(&self) {
        self.set_ready(false);
        self.retired.store(true, Ordering::Release);
        self.left.notify_waiters();
        self.close_idle();
    }

    /// Whatever it had to say would have come by now.
    pub(super) fn cut_off(&self) {
        self.cut_short.store(self.load.in_flight() > 0, Ordering::Relaxed);
        self.cut_off.store(true, Ordering::Release);
        self.notify();
    }

    /// Whether requests were given up that it had when it had ended.
    pub(super) fn was_cut_short(&self) -> bool {
        self.cut_short.load(Ordering::Relaxed)
    }

    /// Whether its source says that it can't serve.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// Says whether what waits for it, though it is down, may go elsewhere.
    pub(super) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Lets one of those that wait for it go elsewhere.
    pub(super) fn sound(&self) {
        self.sounded.store(true, Ordering::Relaxed);
        self.notify();
    }

    /// Whether there is no use in waiting for it.
    pub(super) fn hangs(&self) -> bool {
        self.load.is_silent() || self.stuck.load(Ordering::Relaxed)
    }

    /// Says whether it hangs, to the picks and to those who wait for it.
    pub(super) fn set_silent(&self, silent: bool) {
        if self.load.set_silent(silent) {
            self.findings.date();
        }
        if silent {
            self.trial.store(NO_TRIAL, Ordering::Relaxed);
            self.notify();
        }
    }

    /// Gives it one request at a time, or as many as there are.
    pub(super) fn set_trial(&self, on: bool) {
        let stage = if on { TRIAL_OPEN } else { NO_TRIAL };
        let before = self.trial.swap(stage, Ordering::Relaxed);
        if (before == NO_TRIAL) != (stage == NO_TRIAL) {
            self.findings.date();
        }
    }

    /// Whether a request may go there: while it is on trial only one that can be
    /// repeated, and no second one.
    #[inline]
    pub(super) fn admit(self: &Arc<Self>, repeatable: bool) -> Admission {
        if self.trial.load(Ordering::Relaxed) == NO_TRIAL {
            Admission::Free
        } else if repeatable && self.step_trial(TRIAL_OPEN, TRIAL_TAKEN) {
            Admission::OnTrial(Trial(Arc::clone(self)))
        } else {
            Admission::No
        }
    }

    fn step_trial(&self, from: u8, to: u8) -> bool {
        self.trial.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// What has been heard of it, and the longest time an answer took since the
    /// last call.
    pub(super) fn heard(&self) -> (Heard, Duration) {
        let mut heard = Heard { usable: self.load.is_usable(), ..Heard::default() };
        let mut slowest = Duration::ZERO;
        for lane in &self.lanes {
            slowest = slowest.max(lane.heard(&mut heard));
        }
        // What it answers late, having hung, says nothing of the others.
        (heard, if self.load.is_silent() { Duration::ZERO } else { slowest })
    }

    /// Has those who wait for it look again.
    pub(super) fn notify(&self) {
        self.lanes.iter().for_each(|lane| lane.cut.notify_waiters());
    }

    /// Closes every idle connection.
    pub(super) fn close_idle(&self) {
        self.lanes.iter().for_each(Lane::close_idle);
    }

    /// Closes the connections that nobody has needed for a while.
    pub(super) fn close_stale(&self, now: Instant) {
        self.lanes.iter().for_each(|lane| lane.close_stale(now));
    }

    /// Leaves it alone until a probe has succeeded: a connect failed, which is
    /// how a container that has just died looks before anybody says so.
    pub(super) fn suspect(&self, error: &io::Error) {
        if self.set_ready(false) {
            tracing::info!(endpoint = %self.name, %error, "is left alone until it accepts connections");
            self.findings.set_trouble(Speaker::Probe, Some(error.to_string()));
            // Fails only when the driver is gone, and with it all probing.
            let _ = self.suspects.send(self.key());
        }
    }

    /// Whether it gets one request at a time.
    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.load(Ordering::Relaxed) != NO_TRIAL
    }

    /// How many connections are idle.
    pub(super) fn idle(&self) -> usize {
        self.lanes.iter().map(Lane::idle).sum()
    }

    /// How many requests were sent over a connection that was open already, since the last
    /// call.
    pub(super) fn reused(&self) -> u64 {
        self.lanes.iter().map(Lane::reused).sum()
    }

    /// To whom a connection belongs that is for this client; to nobody where all
    /// clients may use it.
    fn owner<'a>(&self, client: &'a Arc<Client>) -> Option<&'a Arc<Client>> {
        self.transport.proxy_protocol.is_some().then_some(client)
    }

    fn lane(&self, worker: usize) -> &Lane {
        &self.lanes[worker % self.lanes.len()]
    }
}

/// What was reused since somebody last asked is counted, though nobody will ask again.
impl Drop for Upstream {
    fn drop(&mut self) {
        self.metrics.reused.increment(self.reused());
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("id", &self.id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
