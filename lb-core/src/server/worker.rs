use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    Accepted, Announced, Closed, HttpService, Limits, Listener, Open,
    connection::{LAST_MOMENT, Protocols, Stage},
    listen::BACKLOG,
    running::Phase,
    service::leave,
};

/// One thread that accepts and serves connections.
pub(super) struct Worker<M> {
    pub(super) listeners: Vec<Listener>,
    pub(super) make: M,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) open: Arc<Open>,
    pub(super) limits: Arc<Limits>,
    pub(super) announced: Option<Announced>,
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
        let Self { listeners, make, mut phase, open, limits, announced } = self;
        let (stage, stages) = watch::channel(Stage::Serving);
        let (alive, mut all_gone) = mpsc::channel(1);
        let protocols = Protocols::new(Arc::clone(&limits), announced, Arc::clone(&open), stages);
        let protocols = Arc::new(protocols);

        let mut accepting = JoinSet::new();
        for listener in listeners {
            let entrance = listener.entrance()?;
            let socket = tokio::net::TcpListener::from_std(listener.socket)?;
            let (protocols, make, alive) = (Arc::clone(&protocols), make.clone(), alive.clone());
            let (open, limits) = (Arc::clone(&open), Arc::clone(&limits));
            accepting.spawn(accept(socket, entrance.local, phase.clone(), move |stream, peer| {
                let guard = match open.admit(&limits, &alive) {
                    Ok(guard) => guard,
                    Err(closed) => {
                        open.closed(closed);
                        if closed == Closed::TooMany {
                            entrance.turn_away(&stream);
                        }
                        return;
                    }
                };
                let (entrance, make) = (entrance.clone(), make.clone());
                let protocols = Arc::clone(&protocols);
                tokio::spawn(protocols.serve(stream, entrance, peer, guard, make));
            }));
        }
        drop(alive);

        wait_for(&mut phase, |phase| *phase != Phase::Serving).await;
        leave();
        stage.send_replace(Stage::Leaving);
        wait_for(&mut phase, Phase::is_last).await;
        let now = phase.borrow().clone();
        let until = match now {
            // Whoever wanted to say when is gone: now.
            Phase::Serving | Phase::Leaving => {
                stage.send_replace(Stage::Closing);
                Instant::now()
            }
            Phase::Stopping { until } => {
                stage.send_replace(Stage::Closing);
                until
            }
            Phase::HandedOver { until, .. } => until,
        };
        while accepting.join_next().await.is_some() {}
        // Nothing is ever sent: this ends when the last guard is gone.
        if time::timeout_at(until, all_gone.recv()).await.is_err()
            && stage.send_replace(Stage::Closing) != Stage::Closing
        {
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

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
