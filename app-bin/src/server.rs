//! The server: connections in, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::hello::{App, Hello};
use crate::lifecycle::{Member, Phase};
use crate::listener::Listener;
use crate::mood::Mood;

/// Time a drain leaves to connections without a request: one may be on its way,
/// sent before its client could know.
const GRACE: Duration = Duration::from_millis(200);

/// A hello server that listens.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    hello: Arc<Hello>,
}

impl Server {
    /// Listens on `address`, where port 0 takes a free one. The kernel completes
    /// connections from here on; [`run`](Self::run) serves them.
    ///
    /// # Errors
    ///
    /// The address is in use, not this host's, or not permitted.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn bind(address: SocketAddr, app: App) -> io::Result<Self> {
        Ok(Self { listener: Listener::bind(address)?, hello: Arc::new(Hello::new(app)) })
    }

    /// The address it listens on, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// A handle to watch and end the server with, once it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.hello))
    }

    /// Serves until it is [drained](Handle::drain) or [stopped](Handle::stop).
    ///
    /// Dropping the future stops the server as well.
    pub async fn run(self) -> Ended {
        let Self { listener, hello } = self;
        let _stop = StopOnDrop(&hello);
        let mut member = hello.life.join();
        let timeout = loop {
            tokio::select! {
                // An end must not wait for a pause between connections.
                biased;
                phase = member.until_not_serving() => match phase {
                    Phase::Draining(timeout) => break timeout,
                    Phase::Serving | Phase::Stopped => return Ended::Stopped,
                },
                stream = listener.accept() => spawn(stream, &hello),
            }
        };
        for stream in listener.close() {
            spawn(stream, &hello);
        }
        // The server itself is no reason to wait.
        drop(member);
        match tokio::time::timeout(timeout, hello.life.left_by_all()).await {
            // They leave when they are done, and when they are told to stop.
            Ok(()) if hello.life.phase() == Phase::Stopped => Ended::Stopped,
            Ok(()) => Ended::Drained,
            Err(_) => Ended::TimedOut { open: hello.life.members() },
        }
    }
}

/// Watches and ends a [`Server`]; clones are of the same server.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Hello>);

impl Handle {
    /// The name the server greets with.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Requests received since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.traffic.requests()
    }

    /// Requests received and not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.traffic.in_flight()
    }

    /// Time from listening to the first request, once there was one: how long
    /// it took others to find this server.
    #[must_use]
    pub fn first_request(&self) -> Option<Duration> {
        self.0.traffic.first()
    }

    /// Whether the server still accepts connections.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.life.phase() == Phase::Serving
    }

    /// Ends the server in order. It takes the connections that clients have
    /// completed, stops listening, answers the requests it has with
    /// `Connection: close`, and closes each connection once it has nothing more
    /// to do. What is left after `timeout` is dropped.
    ///
    /// The first call counts; returns at once.
    pub fn drain(&self, timeout: Duration) {
        self.0.life.drain(timeout);
    }

    /// Changes what becomes of all requests.
    pub(crate) fn set_mood(&self, mood: Mood) {
        self.0.moods.set(mood);
    }

    /// Ends the server now: drops its connections, answered or not. Returns at
    /// once.
    pub fn stop(&self) {
        self.0.life.stop();
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was answered.
    Drained,
    /// The time to drain ran out.
    TimedOut {
        /// Connections that were dropped.
        open: usize,
    },
    /// It was told to end at once.
    Stopped,
}

/// Stops the server when its future goes: its connections are tasks of their
/// own and would outlive it.
struct StopOnDrop<'a>(&'a Hello);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.life.stop();
    }
}

fn spawn(stream: TcpStream, hello: &Arc<Hello>) {
    let member = hello.life.join();
    tokio::spawn(serve(stream, Arc::clone(hello), member));
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, hello: Arc<Hello>, mut member: Member) {
    let _connection = hello.traffic.connect();
    // Answers are written whole; waiting to fill a packet would only delay them.
    // A socket that refuses is one whose client has left.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| hello.respond(request));
    // No timeouts: the balancer in front decides how long a connection may idle,
    // and closing one it is about to use would be an error it has to hide.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);

    // The errors of a connection are its client's: it broke off or spoke no HTTP
    // (which hyper has answered 400).
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = member.until_not_serving() => {}
    }
    let finish = async {
        // hyper would close a connection without a request at once.
        if tokio::time::timeout(GRACE, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    };
    tokio::select! {
        biased;
        () = member.until_stopped() => {}
        () = finish => {}
    }
}
