use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
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
    time::{self, Instant},
};

use super::{
    Accepted, Guard, HttpService, Open,
    listen::BACKLOG,
    running::Phase,
    service::{Closing, leave},
};

/// One thread that accepts and serves connections.
pub(super) struct Worker<M> {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) make: M,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) open: Arc<Open>,
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
        let Self { listeners, make, mut phase, open, head_timeout } = self;
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
            accepting.spawn(accept(listener, local, phase.clone(), move |stream, peer| {
                let guard = Guard::new(Arc::clone(&open), alive.clone());
                let service = make(Accepted { peer, local, guard });
                let http = http.clone();
                tokio::spawn(connection(stream, service, http, head_timeout, draining.clone()));
            }));
        }
        drop(alive);

        wait_for(&mut phase, |phase| *phase != Phase::Serving).await;
        leave();
        wait_for(&mut phase, Phase::is_last).await;
        let now = phase.borrow().clone();
        let until = match now {
            // Whoever wanted to say when is gone: now.
            Phase::Serving | Phase::Leaving => {
                drain.send_replace(true);
                Instant::now()
            }
            Phase::Stopping { until } => {
                drain.send_replace(true);
                until
            }
            Phase::HandedOver { until, .. } => until,
        };
        while accepting.join_next().await.is_some() {}
        // Nothing is ever sent: this ends when the last guard is gone.
        if time::timeout_at(until, all_gone.recv()).await.is_err() && !drain.send_replace(true) {
            // What is idle has only been kept to answer one request more.
            let _ = time::timeout(LAST_MOMENT, all_gone.recv()).await;
        }
        Ok(all_gone.sender_strong_count())
    }
}

/// Accepts until that is over, and then, unless another process does, what had
/// already connected.
async fn accept(
    listener: tokio::net::TcpListener,
    local: SocketAddr,
    phase: watch::Receiver<Phase>,
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut waits = phase.clone();
    let mut last = pin!(wait_for(&mut waits, Phase::is_last));
    loop {
        let accepted = tokio::select! {
            biased;
            () = last.as_mut() => break,
            accepted = listener.accept() => accepted,
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
    if matches!(&*phase.borrow(), Phase::HandedOver { shared, .. } if shared.contains(&local)) {
        return;
    }
    // Closing the listener would reset what waits in its queue.
    for _ in 0..BACKLOG {
        let Ok(Ok((stream, peer))) = time::timeout(Duration::ZERO, listener.accept()).await else {
            break;
        };
        serve(stream, peer);
    }
}

/// Ends when it has come to this, or when nobody is left to say so.
async fn wait_for(phase: &mut watch::Receiver<Phase>, wanted: impl FnMut(&Phase) -> bool) {
    let _ = phase.wait_for(wanted).await;
}

/// Ends when idle connections are to close.
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
    let service = TowerToHyperService::new(Closing(service));
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
