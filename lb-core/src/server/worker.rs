use std::{
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    Accepted, Announced, HttpService, Limits, Open,
    connection::{LAST_MOMENT, Protocols, Stage},
    listen::BACKLOG,
    running::Phase,
    service::leave,
};

/// One thread that accepts and serves connections.
pub(super) struct Worker<M> {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) make: M,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) open: Arc<Open>,
    pub(super) limits: Arc<Limits>,
    pub(super) announced: Option<Announced>,
}

/// What those are told who are too many, as HTTP/1 has it.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 58\r\n\
    retry-after: 1\r\nconnection: close\r\n\r\n\
    503 Service Unavailable: too many connections, come later\n";

pub(super) fn turn_away(stream: &TcpStream) {
    // It may have gone, or not listen.
    let _ = stream.try_write(TOO_MANY);
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
        let protocols = Arc::new(Protocols::new(Arc::clone(&limits), announced, stages));

        let mut accepting = JoinSet::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let local = listener.local_addr()?;
            let (protocols, make, alive) = (Arc::clone(&protocols), make.clone(), alive.clone());
            let (open, limits) = (Arc::clone(&open), Arc::clone(&limits));
            accepting.spawn(accept(listener, local, phase.clone(), move |stream, peer| {
                let Some(guard) = open.admit(&limits, &alive) else {
                    turn_away(&stream);
                    return;
                };
                let make = make.clone();
                tokio::spawn(Arc::clone(&protocols).serve(stream, peer, local, guard, make));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_many_is_told_in_whole() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(!head.contains("  "));
    }
}
