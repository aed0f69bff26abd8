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

mod beginning;
mod closed;
mod connection;
mod entrance;
mod frames;
pub mod handover;
mod http1;
mod http2;
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

use entrance::Entrance;
use open::Open;
use running::Phase;

use crate::overload::Pressure;
#[cfg(feature = "tls")]
use crate::tls;

pub use crate::interim::Interim;
pub use closed::Closed;
pub use limits::Limits;
pub use listen::adopt;
pub use open::{Connections, Guard};
pub use running::Running;
pub use service::HttpService;

/// Bound listeners, about to be served.
pub struct Server {
    listeners: Vec<Listener>,
    workers: usize,
    limits: Limits,
    announced: Option<Announced>,
    pressure: Pressure,
}

/// A socket that is listened on, and what is spoken there.
#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    #[cfg(feature = "tls")]
    tls: Option<entrance::Tls>,
}

/// From whom connections come that begin with a PROXY header.
type Announced = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// A connection that has just been accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// Who connected, to us or to the proxy in front that tells of it.
    pub peer: SocketAddr,
    /// The address that was connected to: that of the listener, or of the proxy in
    /// front.
    pub local: SocketAddr,
    /// Whether the client speaks TLS, to us or to the proxy in front.
    pub secure: bool,
    /// What the handshake of TLS has agreed on, if the client speaks it to us.
    #[cfg(feature = "tls")]
    pub session: Option<tls::Session>,
    /// The way of answers before the final one, where there is one.
    pub interim: Interim,
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
        let sockets = listen(addresses, open)?;
        let listeners = sockets.into_iter().map(Listener::plain).collect();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            listeners,
            workers,
            limits: Limits::default(),
            announced: None,
            pressure: Pressure::default(),
        })
    }

    /// Listens on these addresses as well, for TLS. The host that a client names, if
    /// it names one, says by `hosts` what it asks for.
    ///
    /// `open` is what it is to [`bind_or_adopt`](Self::bind_or_adopt).
    ///
    /// # Errors
    ///
    /// An address can't be bound; the error says which.
    #[cfg(feature = "tls")]
    pub fn tls(
        mut self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        open: &mut Vec<TcpListener>,
        acceptor: tls::Acceptor,
        hosts: impl Fn(Option<&str>) -> tls::HostOptions + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let tls = entrance::Tls { acceptor, hosts: Arc::new(hosts) };
        let sockets = listen(addresses, open)?.into_iter();
        self.listeners.extend(sockets.map(|socket| Listener { socket, tls: Some(tls.clone()) }));
        Ok(self)
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

    /// While this is [critical](crate::overload::Level::Critical), connections are
    /// closed as soon as they are accepted. Never unless set here.
    #[must_use]
    pub fn pressure(mut self, pressure: Pressure) -> Self {
        self.pressure = pressure;
        self
    }

    /// The addresses that are listened on, with the ports the system chose.
    ///
    /// # Errors
    ///
    /// The system doesn't tell.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|listener| listener.socket.local_addr()).collect()
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
        let open = Arc::new(Open::new(self.pressure));
        let limits = Arc::new(self.limits);
        let mut finished = Vec::new();
        for number in 0..self.workers {
            let listeners = self.listeners.iter().map(Listener::try_clone);
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
        let listeners = self.listeners.into_iter().map(|listener| listener.socket).collect();
        Ok(Running { listeners, phase, open, finished })
    }
}

/// Listens on every address, with a socket of `open` where one is bound to it.
fn listen(
    addresses: impl IntoIterator<Item = SocketAddr>,
    open: &mut Vec<TcpListener>,
) -> io::Result<Vec<TcpListener>> {
    let mut listen = |address| {
        let listener = match adopt(address, open) {
            Some(listener) => listen::prepare(listener),
            None => listen::bind(address),
        };
        listener.map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
        })
    };
    addresses.into_iter().map(&mut listen).collect()
}

impl Listener {
    fn plain(socket: TcpListener) -> Self {
        Self {
            socket,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }

    fn entrance(&self) -> io::Result<Entrance> {
        Ok(Entrance {
            local: self.socket.local_addr()?,
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        })
    }
}
