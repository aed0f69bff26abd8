//! HTTP listeners for any tower service, one worker per core.
//!
//! Each worker is a thread with a runtime of its own. A connection stays with
//! the worker that accepted it, and so does everything its service does for it:
//! nothing moves between cores while a request is served.
//!
//! All workers accept from the same sockets. A worker that is busy leaves new
//! connections to the others; and when the process stops, nothing is left behind
//! in a queue of its own, as it would be with one socket for each worker. Another
//! process may accept from them as well: that is how one takes over from the
//! other without a client that notices (see [`handover`]).

mod connection;
pub mod handover;
mod http1;
mod limits;
mod listen;
mod open;
pub mod proxy_protocol;
mod running;
mod service;
mod stream;
mod waits;
mod worker;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use tokio::sync::{oneshot, watch};

use open::Open;
use running::Phase;

pub use limits::Limits;
pub use listen::adopt;
pub use open::{Connections, Guard};
pub use running::Running;
pub use service::HttpService;

/// Bound listeners, about to be served.
pub struct Server {
    listeners: Vec<TcpListener>,
    workers: usize,
    limits: Limits,
    announced: Option<Announced>,
}

/// From whom connections come that begin with a PROXY header.
type Announced = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// A connection that has just been accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Who connected, to us or to the proxy in front that tells of it.
    pub peer: SocketAddr,
    /// The address that was connected to: that of the listener, or of the proxy in
    /// front.
    pub local: SocketAddr,
    /// Whether the client speaks TLS, to the proxy in front.
    pub secure: bool,
    /// Counts as an open connection until it is dropped. Give it to whatever
    /// may outlive the connection, as the tunnel after an upgrade does.
    pub guard: Guard,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners)
            .field("workers", &self.workers)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    ///
    /// An address can't be bound; the error says which.
    pub fn bind(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        Self::bind_or_adopt(addresses, &mut Vec::new())
    }

    /// Listens on every address, with the sockets of `open` that are bound to one
    /// of them already: another process has handed them over, or the service
    /// manager has opened them. They are taken out of `open`; what is left there
    /// nobody has asked for.
    ///
    /// # Errors
    ///
    /// An address can't be bound; the error says which.
    pub fn bind_or_adopt(
        addresses: impl IntoIterator<Item = SocketAddr>,
        open: &mut Vec<TcpListener>,
    ) -> io::Result<Self> {
        let mut listen = |address| {
            let listener = match adopt(address, open) {
                Some(listener) => listen::prepare(listener),
                None => listen::bind(address),
            };
            listener.map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })
        };
        let listeners = addresses.into_iter().map(&mut listen).collect::<io::Result<_>>()?;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { listeners, workers, limits: Limits::default(), announced: None })
    }

    /// How many workers serve; as many as there are cores, unless set here.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// What clients may take up; the usual, unless set here.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connections from these addresses begin with a PROXY header
    /// ([`proxy_protocol`]), which tells whose they are; those without one are
    /// closed. Others speak for themselves, whatever they say. Nobody's unless set
    /// here.
    #[must_use]
    pub fn proxy_protocol(mut self, from: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.announced = Some(Arc::new(from));
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
        let (phase, phases) = watch::channel(Phase::Serving);
        let open = Arc::<Open>::default();
        let limits = Arc::new(self.limits);
        let mut finished = Vec::new();
        for number in 0..self.workers {
            let listeners = self.listeners.iter().map(TcpListener::try_clone);
            let worker = worker::Worker {
                listeners: listeners.collect::<io::Result<_>>()?,
                make: make(number),
                phase: phases.clone(),
                open: Arc::clone(&open),
                limits: Arc::clone(&limits),
                announced: self.announced.clone(),
            };
            let (done, ended) = oneshot::channel();
            finished.push(ended);
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                // Fails only when nobody waits for the end.
                let _ = done.send(worker.run());
            })?;
        }
        Ok(Running { listeners: self.listeners, phase, open, finished })
    }
}
