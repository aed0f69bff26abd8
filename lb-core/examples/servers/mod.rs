//! What the examples call: real servers on real sockets. Each has a thread and a
//! runtime of its own, so that it can die as a process does, in the middle of a
//! call and with all of its connections.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each example uses a part of it")]

use std::{
    fmt, future, io,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    runtime, select,
    sync::Notify,
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

/// A server that lives until it is dropped, or until its last call.
pub struct Server {
    pub address: SocketAddr,
    calls: Calls,
}

/// Counts the calls of a server, and ends it with the last one.
#[derive(Clone)]
pub struct Calls {
    seen: Arc<AtomicUsize>,
    last: usize,
    died: Arc<Notify>,
}

/// Three servers, of which the first dies in the middle of its fiftieth call.
pub struct Servers(pub [Server; 3]);

impl Servers {
    /// Starts them, with one of the functions below.
    pub fn start<F>(serve: fn(TcpListener, Calls) -> F) -> io::Result<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        let lives = || Server::start(serve, usize::MAX);
        Ok(Self([Server::start(serve, 50)?, lives()?, lives()?]))
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|server| server.address).collect()
    }

    /// The same, as URLs of whatever kind.
    pub fn urls<U: FromStr>(&self) -> Vec<U> {
        self.0.iter().filter_map(Server::url).collect()
    }
}

impl Server {
    /// Starts one whose call number `last` is never answered.
    pub fn start<F>(serve: fn(TcpListener, Calls) -> F, last: usize) -> io::Result<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let calls = Calls { seen: Arc::default(), last, died: Arc::default() };
        let its = calls.clone();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                select! {
                    () = serve(listener, its.clone()) => {}
                    () = its.died.notified() => {}
                }
                io::Result::Ok(())
            })
        });
        Ok(Self { address, calls })
    }

    pub fn url<U: FromStr>(&self) -> Option<U> {
        format!("http://{}", self.address).parse().ok()
    }

    /// The calls it has answered.
    pub fn answered(&self) -> usize {
        self.calls.seen.load(Relaxed).min(self.calls.last - 1)
    }

    /// Whether its last call has come.
    pub fn is_dead(&self) -> bool {
        self.calls.seen.load(Relaxed) >= self.calls.last
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.calls.died.notify_one();
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.0 {
            let died = if server.is_dead() { ", then it died" } else { "" };
            writeln!(f, "{} answered {} calls{died}", server.address, server.answered())?;
        }
        Ok(())
    }
}

impl Calls {
    async fn begin(&self) {
        if self.seen.fetch_add(1, Relaxed) + 1 >= self.last {
            self.died.notify_one();
            future::pending::<()>().await;
        }
    }
}

/// Answers every HTTP request with its name.
pub async fn http(listener: TcpListener, calls: Calls) {
    let name = listener.local_addr().map_or_else(|error| error.to_string(), |at| at.to_string());
    let answer = async move || {
        calls.begin().await;
        format!("hello from {name}\n")
    };
    let _ = axum::serve(listener, axum::Router::new().fallback(answer)).await;
}

/// Answers every line with the same in capitals.
pub async fn lines(listener: TcpListener, calls: Calls) {
    while let Ok((stream, _)) = listener.accept().await {
        let calls = calls.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 {
                calls.begin().await;
                stream.write_all(line.to_uppercase().as_bytes()).await?;
                line.clear();
            }
            io::Result::Ok(())
        });
    }
}

/// Answers gRPC's health checks: a `Check` at once, a `Watch` for ever.
pub async fn grpc(listener: TcpListener, calls: Calls) {
    let server = tonic::transport::Server::builder().add_service(HealthServer::new(calls));
    let _ = server.serve_with_incoming(TcpIncoming::from(listener)).await;
}

const SERVING: HealthCheckResponse = HealthCheckResponse { status: ServingStatus::Serving as i32 };

#[tonic::async_trait]
impl Health for Calls {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.begin().await;
        Ok(Response::new(SERVING))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.begin().await;
        let first = stream::once(future::ready(Ok(SERVING)));
        Ok(Response::new(first.chain(stream::pending()).boxed()))
    }
}
