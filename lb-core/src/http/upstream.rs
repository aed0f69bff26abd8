use std::{
    fmt, io, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::{Request, Response};
use ::metrics::Histogram;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, sync::mpsc, time};

use super::body::RequestBody;
use crate::{endpoint::EndpointId, load::Load, metrics};

/// One address of one endpoint, and the connections to it.
///
/// Every worker has a stack of idle connections of its own, so that taking one
/// contends with nobody. Because they belong to the endpoint's identity and not
/// to its address, they go when it goes: the next owner of the address never
/// sees them.
pub(super) struct Upstream {
    pub(super) id: EndpointId,
    pub(super) name: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) load: Arc<Load>,
    metrics: metrics::Upstream,
    /// By worker.
    idle: Box<[Mutex<Vec<Connection>>]>,
    retired: AtomicBool,
    /// Why it is not ready, while its source wants it used.
    trouble: Mutex<Option<String>>,
    /// Tells the driver that it has to be probed again.
    suspects: mpsc::UnboundedSender<Key>,
}

/// An endpoint may listen at several addresses.
pub(super) type Key = (EndpointId, SocketAddr);

/// A connection that has gone unused for this long is closed: what stands in
/// between may have forgotten it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// When silent connections are asked whether anybody is there.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

/// Idle connections kept for each worker and endpoint.
const IDLE_MAX: usize = 256;

impl Upstream {
    pub(super) fn new(
        id: EndpointId,
        name: Arc<str>,
        address: SocketAddr,
        workers: usize,
        suspects: mpsc::UnboundedSender<Key>,
    ) -> Self {
        Self {
            metrics: metrics::Upstream::new(&name),
            id,
            name,
            address,
            load: Arc::new(Load::new(false)),
            idle: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            retired: AtomicBool::new(false),
            trouble: Mutex::new(Some("not yet probed".into())),
            suspects,
        }
    }

    pub(super) fn key(&self) -> Key {
        (self.id.clone(), self.address)
    }

    /// An idle connection of this worker.
    pub(super) fn pooled(&self, worker: usize) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.stack(worker);
        std::iter::from_fn(|| idle.pop()).find(|connection| connection.is_usable(now))
    }

    /// A new connection, opened within `limit`. The time that took goes into
    /// `duration`.
    pub(super) async fn connect(
        &self,
        limit: Duration,
        duration: &Histogram,
    ) -> io::Result<Connection> {
        let started = Instant::now();
        let opened = self.open(limit).await;
        match &opened {
            Ok(_) => {
                self.metrics.connected.increment(1);
                duration.record(started.elapsed());
            }
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => self.metrics.refused.increment(1),
                io::ErrorKind::TimedOut => self.metrics.timed_out.increment(1),
                _ => self.metrics.failed.increment(1),
            },
        }
        opened
    }

    async fn open(&self, limit: Duration) -> io::Result<Connection> {
        let stream =
            time::timeout(limit, TcpStream::connect(self.address)).await.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"))
            })??;
        stream.set_nodelay(true)?;
        // An endpoint whose network is gone says nothing, ever; a tunnel to it
        // would stay.
        SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its errors reach whoever waits for an answer; there is nobody else to
        // tell.
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { sender, reused: false, idle_since: Instant::now() })
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn keep(&self, worker: usize, mut connection: Connection) {
        connection.reused = true;
        connection.idle_since = Instant::now();
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.stack(worker);
        // Checked under the lock that closing takes: what is put in after its
        // look would stay, and keep a server waiting that is told to stop.
        if idle.len() < IDLE_MAX && self.load.is_ready() {
            idle.push(connection);
        }
    }

    /// Whether the endpoint has left: its address may be somebody else's.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// The endpoint has left for good.
    pub(super) fn retire(&self) {
        self.load.set_ready(false);
        self.retired.store(true, Ordering::Release);
        self.close_idle();
    }

    /// Closes every idle connection.
    pub(super) fn close_idle(&self) {
        for idle in &self.idle {
            drop(mem::take(&mut *lock(idle)));
        }
    }

    /// Closes the connections that nobody has needed for a while.
    pub(super) fn close_stale(&self, now: Instant) {
        for idle in &self.idle {
            lock(idle).retain(|connection| connection.is_usable(now));
        }
    }

    /// Leaves it alone until a probe has succeeded: a connect failed, which is
    /// how a container that has just died looks before anybody says so.
    pub(super) fn suspect(&self, error: &io::Error) {
        if self.load.set_ready(false) {
            tracing::info!(endpoint = %self.name, %error, "is left alone until it accepts connections");
            self.set_trouble(Some(error.to_string()));
            // Fails only when the driver is gone, and with it all probing.
            let _ = self.suspects.send(self.key());
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *lock(&self.trouble) = trouble;
    }

    /// Sets the gauges to what is true now.
    pub(super) fn observe(&self) {
        self.metrics.in_flight.set(self.load.in_flight() as f64);
        let idle: usize = self.idle.iter().map(|idle| lock(idle).len()).sum();
        self.metrics.idle.set(idle as f64);
    }

    fn stack(&self, worker: usize) -> MutexGuard<'_, Vec<Connection>> {
        lock(&self.idle[worker % self.idle.len()])
    }
}

/// A panic elsewhere leaves these whole: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("id", &self.id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A connection to an endpoint that carries one request at a time.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// It has carried a request before, so the other side may have closed it
    /// without our having seen that yet.
    pub(super) reused: bool,
    idle_since: Instant,
}

impl Connection {
    /// Sends a request. An error may give it back, if none of it went out.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.sender.try_send_request(request).await
    }

    fn is_usable(&self, now: Instant) -> bool {
        !self.sender.is_closed() && now.saturating_duration_since(self.idle_since) < IDLE_LIMIT
    }
}
