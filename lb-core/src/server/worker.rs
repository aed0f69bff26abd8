use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time,
};

use super::{Accepted, Guard, HttpService};

/// One thread that accepts and serves connections.
pub(super) struct Worker<M> {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) make: M,
    /// Holds how long draining may take, once it is time.
    pub(super) stopped: watch::Receiver<Option<Duration>>,
    pub(super) open: Arc<AtomicUsize>,
    pub(super) head_timeout: Duration,
}

impl<M> Worker<M> {
    /// Serves until it is told to stop, and says how many connections were
    /// still open when their time was up.
    pub(super) fn run<S>(self) -> io::Result<usize>
    where
        M: Fn(Accepted) -> S + Clone + Send + 'static,
        S: HttpService,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve<S>(self) -> io::Result<usize>
    where
        M: Fn(Accepted) -> S + Clone + Send + 'static,
        S: HttpService,
    {
        let Self { listeners, make, mut stopped, open, head_timeout } = self;
        // Of this worker alone: every connection looks at it each time it is
        // polled, and must not contend with other workers for that.
        let (drain, draining) = watch::channel(false);
        let (alive, mut all_gone) = mpsc::channel(1);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head_timeout);

        let mut accepting = JoinSet::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let local = listener.local_addr()?;
            let (http, make, alive) = (http.clone(), make.clone(), alive.clone());
            let (open, draining) = (Arc::clone(&open), draining.clone());
            accepting.spawn(accept(listener, draining.clone(), move |stream, peer| {
                open.fetch_add(1, Ordering::Relaxed);
                let guard = Guard { open: Arc::clone(&open), _alive: alive.clone() };
                let service = make(Accepted { peer, local, guard });
                let http = http.clone();
                tokio::spawn(connection(stream, service, http, head_timeout, draining.clone()));
            }));
        }
        drop(alive);

        // An error says that nobody is left who could stop us: stop now.
        let limit = match stopped.wait_for(Option::is_some).await {
            Ok(limit) => limit.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
        drain.send_replace(true);
        while accepting.join_next().await.is_some() {}
        // Nothing is ever sent: this ends when the last guard is gone.
        let _ = time::timeout(limit, all_gone.recv()).await;
        Ok(all_gone.sender_strong_count())
    }
}

/// Accepts until it is time to drain, and then what had already connected.
async fn accept(
    listener: tokio::net::TcpListener,
    draining: watch::Receiver<bool>,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut stop = pin!(drained(draining));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.as_mut() => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: closing connections will help,
                // trying at once will not.
                tracing::warn!(%error, "can't accept connections at the moment");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Closing the listener would reset what waits in its queue.
    for _ in 0..super::BACKLOG {
        let Ok(Ok((stream, peer))) = time::timeout(Duration::ZERO, listener.accept()).await else {
            break;
        };
        serve(stream, peer);
    }
}

/// Ends when it is time to drain, or when nobody is left to say so.
async fn drained(mut draining: watch::Receiver<bool>) {
    let _ = draining.wait_for(|&draining| draining).await;
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What a connection without a request gets when it is time to drain.
const LAST_MOMENT: Duration = Duration::from_millis(100);

async fn connection<S: HttpService>(
    stream: TcpStream,
    service: S,
    http: http1::Builder,
    head_timeout: Duration,
    draining: watch::Receiver<bool>,
) {
    // A connection that hyper has read nothing from is closed when it is told to
    // shut down, though its request may have arrived: hand it over with the
    // request, and leave one that is on its way a moment at the end.
    tokio::select! {
        readable = time::timeout(head_timeout, stream.readable()) => {
            if readable.is_err() {
                return;
            }
        }
        () = drained(draining.clone()) => {
            let _ = time::timeout(LAST_MOMENT, stream.readable()).await;
        }
    }
    let service = TowerToHyperService::new(service);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = drained(draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
