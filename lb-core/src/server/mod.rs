//! HTTP listeners for any tower service, one worker per core.
//!
//! Each worker is a thread with a runtime of its own. A connection stays with
//! the worker that accepted it, and so does everything its service does for it:
//! nothing moves between cores while a request is served.
//!
//! All workers accept from the same sockets. A worker that is busy leaves new
//! connections to the others; and when the process stops, nothing is left behind
//! in a queue of its own, as it would be with one socket for each worker.

mod service;
mod worker;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::sync::{oneshot, watch};

pub use service::HttpService;

/// Connections that wait to be accepted, for each listener.
const BACKLOG: i32 = 4096;

/// Bound listeners, about to be served.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    workers: usize,
    head_timeout: Duration,
}

/// A connection that has just been accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Who connected.
    pub peer: SocketAddr,
    /// The address of the listener.
    pub local: SocketAddr,
    /// Counts as an open connection until it is dropped. Give it to whatever
    /// may outlive the connection, as the tunnel after an upgrade does.
    pub guard: Guard,
}

/// Keeps a connection counted as open.
#[derive(Debug)]
pub struct Guard {
    open: Arc<AtomicUsize>,
    /// The worker waits until all of these are gone.
    _alive: tokio::sync::mpsc::Sender<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    ///
    /// An address can't be bound; the error says which.
    pub fn bind(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let listen = |address| {
            listen(address).map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })
        };
        let listeners = addresses.into_iter().map(listen).collect::<io::Result<_>>()?;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { listeners, workers, head_timeout: Duration::from_secs(60) })
    }

    /// How many workers serve; as many as there are cores, unless set here.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// How long a connection may take to send the head of its first or its next
    /// request before it is closed; 60 seconds unless set here.
    #[must_use]
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.head_timeout = limit;
        self
    }

    /// The addresses that are listened on, with the ports the system chose.
    ///
    /// # Errors
    ///
    /// The system doesn't tell.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Starts the workers. `make` is given the number of a worker, from 0, and
    /// returns what makes the service for each connection of that worker.
    ///
    /// # Errors
    ///
    /// The threads or their runtimes can't be set up.
    pub fn start<F, M, S>(self, make: F) -> io::Result<Running>
    where
        F: Fn(usize) -> M,
        M: Fn(Accepted) -> S + Clone + Send + 'static,
        S: HttpService,
    {
        let (stop, stopped) = watch::channel(None);
        let open = Arc::new(AtomicUsize::new(0));
        let mut finished = Vec::new();
        for number in 0..self.workers {
            let listeners = self.listeners.iter().map(TcpListener::try_clone);
            let worker = worker::Worker {
                listeners: listeners.collect::<io::Result<_>>()?,
                make: make(number),
                stopped: stopped.clone(),
                open: Arc::clone(&open),
                head_timeout: self.head_timeout,
            };
            let (done, ended) = oneshot::channel();
            finished.push(ended);
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                // Fails only when nobody waits for the end.
                let _ = done.send(worker.run());
            })?;
        }
        Ok(Running { stop, open, finished })
    }
}

/// Workers at work.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<Option<Duration>>,
    open: Arc<AtomicUsize>,
    finished: Vec<oneshot::Receiver<io::Result<usize>>>,
}

impl Running {
    /// Reads how many connections are open, for as long as it is kept.
    pub fn connections(&self) -> Connections {
        Connections(Arc::clone(&self.open))
    }

    /// Stops accepting, lets requests in flight finish and idle connections
    /// close, and returns how many connections were cut off at `limit`.
    ///
    /// What had already connected is still served.
    ///
    /// # Errors
    ///
    /// A worker had failed.
    pub async fn shutdown(self, limit: Duration) -> io::Result<usize> {
        self.stop.send_replace(Some(limit));
        let mut cut_off = 0;
        for worker in self.finished {
            let ended = worker.await.unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            cut_off += ended?;
        }
        Ok(cut_off)
    }
}

/// The number of open connections.
#[derive(Clone)]
pub struct Connections(Arc<AtomicUsize>);

impl Connections {
    /// As of now.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.open()).finish()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process takes its address again at once.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit these. Answers go out as soon as they are
    // there; clients that have vanished are noticed.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    socket.set_tcp_keepalive(&keepalive.with_interval(Duration::from_secs(15)))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
