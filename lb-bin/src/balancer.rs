//! The balancer at work, and how it ends.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use lb_core::{http::AccessLog, server::Running};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Mutex, mpsc, oneshot},
    task::{self, JoinHandle},
    time::{self, Instant},
};

use crate::{
    acme::Orders,
    admin::Admin,
    control::{Claim, Control, Request},
    reload::{Reloader, Timing},
    signals::{Signal, Signals},
    take_over::Predecessor,
    traces::Traces,
};

/// How long to go on accepting while somebody is connected, unless it was said.
const STOP_DELAY: Duration = Duration::from_secs(1);

/// How long the last traces may take to be sent, however long requests have taken to
/// end: who stops us waits for longer than that.
const LAST_TRACES: Duration = Duration::from_millis(500);

/// Everything that runs.
pub(crate) struct Balancer {
    pub(crate) running: Running,
    pub(crate) addresses: Vec<SocketAddr>,
    /// How many of them come first where TLS isn't spoken.
    pub(crate) plain: usize,
    /// Until it has been told.
    pub(crate) predecessor: Option<Predecessor>,
    pub(crate) admin: Arc<Admin>,
    pub(crate) admin_task: Option<Task<TcpListener>>,
    /// Until it is answered there.
    pub(crate) control: Option<(Claim, UnixListener)>,
    pub(crate) commands: Option<(Claim, Task<UnixListener>)>,
    pub(crate) answers: Arc<Control>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) reloader: Arc<Mutex<Reloader>>,
    pub(crate) timing: Arc<Timing>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) traces: Option<Traces>,
    pub(crate) driver: JoinHandle<()>,
    pub(crate) upkeep: JoinHandle<()>,
    pub(crate) orders: Option<Arc<Orders>>,
}

/// What accepts from a listener, and the listener, to hand it over.
pub(crate) struct Task<L> {
    listener: Arc<L>,
    task: JoinHandle<()>,
}

/// Why serving is over.
enum End {
    Told(Signal),
    TakenOver { shared: Vec<SocketAddr>, left: oneshot::Sender<()>, told: oneshot::Receiver<()> },
}

impl<L> Task<L> {
    pub(crate) fn spawn<F>(listener: L, serve: impl FnOnce(Arc<L>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = Arc::new(listener);
        let task = tokio::spawn(serve(Arc::clone(&listener)));
        Self { listener, task }
    }

    /// Accepts no more. Returns once our hold of the socket is gone.
    async fn end(self) {
        self.task.abort();
        // It has been cancelled, and that is all it says.
        let _ = self.task.await;
    }
}

impl Balancer {
    /// Serves until the end, and sees to it.
    pub(crate) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        let admin = self.admin_task.as_ref().map(|task| task.listener.local_addr()).transpose()?;
        let end = match self.succeed(admin, &mut signals).await? {
            Some(signal) => End::Told(signal),
            None => {
                self.answer();
                for (at, address) in self.addresses.iter().enumerate() {
                    let scheme = if at < self.plain { "http" } else { "https" };
                    tracing::info!("listening on {scheme}://{address}/");
                }
                if let Some(admin) = admin {
                    tracing::info!("metrics and status on http://{admin}/");
                }
                self.serve(&mut signals).await?
            }
        };
        self.end(end, signals).await
    }

    /// Tells the one before, if there is one, unless a signal was faster.
    async fn succeed(
        &mut self,
        admin: Option<SocketAddr>,
        signals: &mut Signals,
    ) -> anyhow::Result<Option<Signal>> {
        let Some(predecessor) = self.predecessor.take() else { return Ok(None) };
        let addresses: Vec<_> = self.addresses.iter().copied().chain(admin).collect();
        tokio::select! {
            biased;
            signal = signals.stop() => Ok(Some(signal)),
            told = predecessor.serving(&addresses) => told.map(|()| None),
        }
    }

    /// From now on commands are for this one, and so is the name they come to.
    fn answer(&mut self) {
        self.commands = self.control.take().map(|(mut claim, listener)| {
            claim.ours = true;
            let answers = Arc::clone(&self.answers);
            (claim, Task::spawn(listener, |listener| answers.serve(listener)))
        });
    }

    async fn serve(&mut self, signals: &mut Signals) -> anyhow::Result<End> {
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Terminate | Signal::Interrupt => return Ok(End::Told(signal)),
                    Signal::Reload => {
                        let reloader = Arc::clone(&self.reloader);
                        // It logs what comes of it.
                        tokio::spawn(async move { drop(reloader.lock().await.reload().await) });
                    }
                    Signal::Reopen => self.reopen(),
                },
                Some(request) = self.requests.recv() => match request {
                    Request::Sockets(reply) => {
                        // Who asked may have gone.
                        let _ = reply.send(self.sockets());
                    }
                    Request::Leave { shared, left, told } => {
                        return Ok(End::TakenOver { shared, left, told });
                    }
                },
                _ = &mut self.driver => bail!("what follows the containers has failed: this is a bug"),
            }
        }
    }

    /// What is written to may hang, and signals that come meanwhile are not to wait.
    fn reopen(&self) {
        let Some(log) = self.access_log.clone() else { return };
        task::spawn_blocking(move || match log.reopen() {
            Ok(()) => tracing::info!("the access log is opened anew"),
            Err(error) => {
                tracing::error!(%error, "the access log can't be opened anew; it goes on in the old file");
            }
        });
    }

    /// Copies of all sockets, the control socket first.
    fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let control = self.commands.iter().map(|(_, task)| task.listener.as_fd());
        let admin = self.admin_task.iter().map(|task| task.listener.as_fd());
        let clients = self.running.listeners().iter().map(AsFd::as_fd);
        control.chain(clients).chain(admin).map(|socket| socket.try_clone_to_owned()).collect()
    }

    async fn end(self, end: End, mut signals: Signals) -> anyhow::Result<()> {
        let Self { running, admin, admin_task, commands, answers, timing, access_log, .. } = self;
        // Whoever wants to take over now is told no.
        drop(self.requests);
        if let Some(orders) = self.orders {
            // ACME servers will ask the one after us.
            orders.end();
        }
        let is_told = matches!(end, End::Told(_));
        admin.stopping.store(is_told, Ordering::Relaxed);
        admin.leaving.store(true, Ordering::Relaxed);
        let (mut claim, commands) = commands.unzip();
        // What another process accepts from, it is to have alone. Else both are
        // answered to the end.
        if answers.is_taken() {
            admin.live.end();
            if let Some(task) = commands {
                task.end().await;
            }
            if let Some(task) = admin_task {
                task.end().await;
            }
        }
        let (said, limit) = timing.get();
        let began = Instant::now();
        let ending = async {
            let cut = match end {
                End::Told(signal) => {
                    tracing::info!("stopping: requests in flight may take {limit:?}");
                    running.leave();
                    if signal == Signal::Terminate {
                        tokio::select! {
                            () = time::sleep(said.unwrap_or(STOP_DELAY)) => {}
                            // Nobody is there who would have to notice, unless we
                            // were told that there is.
                            () = running.idle(), if said.is_none() => {}
                        }
                    }
                    running.shutdown(limit).await
                }
                End::TakenOver { shared, left, told } => {
                    tracing::info!(
                        "another process has taken over: what is open here may take {limit:?}"
                    );
                    // It may have gone by now, and this is too late to go back.
                    let _ = left.send(());
                    tokio::join!(running.hand_over(shared, limit), told).0
                }
            };
            if let Some(traces) = self.traces {
                traces.end(limit.saturating_sub(began.elapsed()).max(LAST_TRACES)).await;
            }
            cut
        };
        let impatience = async {
            if !is_told {
                signals.stop().await;
                tracing::info!("it is ending already; another signal ends it at once");
            }
            signals.stop().await
        };
        let ended = tokio::select! {
            cut = ending => cut.context("stopping"),
            _ = impatience => Err(anyhow!("stopped at once by a second signal")),
        };
        if let Some(claim) = &mut claim {
            claim.ours = !answers.is_taken();
        }
        drop(claim);
        self.driver.abort();
        self.upkeep.abort();
        if let Some(Err(error)) = access_log.as_ref().map(AccessLog::flush) {
            tracing::warn!(%error, "the last lines of the access log are lost");
        }
        match ended? {
            0 => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; {cut} connections were still busy and are cut off"),
        }
        Ok(())
    }
}
