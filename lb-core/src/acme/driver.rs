//! The loop that asks the plan what to do, does it, and tells what became of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time,
};

use super::{
    Report, State, Turn,
    folder::{Folder, Lock},
    jobs::{Context, NeverSays},
    plan::{Action, Failure, Found, Plan, Window},
};

/// Orders what a [`Manager`](super::Manager) is told to.
///
/// Nothing is ordered unless this runs. To drop it lets another process have its turn
/// at once, and breaks off orders, which costs nothing: they are taken up again.
#[must_use = "nothing is ordered unless the driver runs"]
pub struct Driver {
    pub(super) context: Arc<Context>,
    pub(super) hosts: watch::Receiver<BTreeSet<String>>,
    pub(super) report: watch::Sender<Report>,
    #[cfg(feature = "http")]
    pub(super) metrics: crate::metrics::Acme,
}

/// Between two looks whether another process still has its turn.
const TURN_INTERVAL: Duration = Duration::from_secs(1);

/// Between two tries to use a folder that couldn't be used.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(10);

/// The files of hosts are looked at when those of the folder change, and this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);

/// Those that couldn't be read.
const UNREADABLE_INTERVAL: Duration = Duration::from_secs(60);

enum Done {
    Opened(Result<String, Failure>),
    Ordered { host: String, result: Result<Found, Failure> },
    Asked { host: String, result: Result<Option<Window>, NeverSays> },
}

impl Driver {
    /// Runs inside a tokio runtime, until every clone of the manager is gone.
    pub async fn run(self) {
        let mut hosts = self.hosts.clone();
        let gone = async { while hosts.changed().await.is_ok() {} };
        tokio::select! {
            () = gone => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let _lock = self.turn().await;
        // Who has a certificate already is known then.
        self.context.store.wait_for(|report| report.synced).await;
        let mut hosts = self.hosts.clone();
        let mut changes = self.context.store.changes();
        let mut plan = Plan::new(self.context.options.is_public());
        let mut jobs = Jobs::default();
        plan.set_hosts(&*hosts.borrow_and_update(), SystemTime::now());
        let mut looked = None;
        loop {
            let now = SystemTime::now();
            if looked.is_none_or(|at| is_past(at, now)) {
                let settled = self.context.settle(plan.wanted()).await;
                for (host, found) in settled {
                    plan.found(&host, found, now);
                }
                let unreadable = plan.is_unreadable();
                looked = Some(now + if unreadable { UNREADABLE_INTERVAL } else { LOOK_INTERVAL });
            }
            while let Some(action) = plan.next(now) {
                jobs.begin(&self.context, action);
            }
            self.publish(&plan);
            let wakes = plan.wakes().into_iter().chain(looked).min().unwrap_or(now);
            let pause = wakes.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::select! {
                Ok(()) = hosts.changed() => {
                    plan.set_hosts(&*hosts.borrow_and_update(), SystemTime::now());
                    looked = None;
                }
                _ = changes.changed() => looked = None,
                Some(done) = jobs.next() => {
                    #[cfg(feature = "http")]
                    if let Done::Ordered { result, .. } = &done {
                        self.metrics.ordered(result.is_ok());
                    }
                    tell(&mut plan, done);
                }
                // A clock that is set shows within an hour.
                () = time::sleep(pause.min(LOOK_INTERVAL)) => {}
            }
        }
    }

    /// Waits until no other process orders for this folder.
    async fn turn(&self) -> Lock {
        loop {
            let (turn, pause) = match self.context.on_disk(Folder::lock).await {
                Ok(Some(lock)) => {
                    self.report.send_modify(|report| report.turn = Turn::Ours);
                    return lock;
                }
                Ok(None) => (Turn::Others, TURN_INTERVAL),
                Err(failing) => {
                    let why = format!("{}; make it a folder this process may write", failing.why());
                    (Turn::Nobody(why), TROUBLE_INTERVAL)
                }
            };
            self.report.send_if_modified(|report| {
                let news = report.turn != turn;
                if news && let Turn::Nobody(why) = &turn {
                    tracing::warn!(why, "no certificates are ordered");
                }
                report.turn = turn;
                news
            });
            time::sleep(pause).await;
        }
    }

    fn publish(&self, plan: &Plan) {
        let (account, hosts) = (plan.account().clone(), plan.report());
        #[cfg(feature = "http")]
        self.metrics.hosts(&hosts.iter().map(|host| &host.state));
        self.report.send_if_modified(|report| {
            let news = report.account != account || report.hosts != hosts;
            for host in &hosts {
                let known = report.hosts.iter().find(|one| one.host == host.host);
                let (State::Refused(why) | State::LeftAlone(why) | State::Unreadable(why)) =
                    &host.state
                else {
                    continue;
                };
                if known.is_none_or(|known| known.state != host.state) {
                    tracing::info!(host = host.host, why, "no certificate is ordered");
                }
            }
            (report.account, report.hosts) = (account, hosts);
            news
        });
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

fn is_past(at: SystemTime, now: SystemTime) -> bool {
    // Nor is one good that is further ahead than any is set: the clock was.
    at <= now || at.duration_since(now).is_ok_and(|ahead| ahead > LOOK_INTERVAL)
}

/// What is being done.
#[derive(Default)]
struct Jobs {
    set: JoinSet<Done>,
    /// What each is about, should it panic.
    actions: HashMap<task::Id, Action>,
}

impl Jobs {
    fn begin(&mut self, context: &Arc<Context>, action: Action) {
        let context = context.clone();
        let handle = match &action {
            Action::OpenAccount => {
                self.set.spawn(async move { Done::Opened(context.open_account().await) })
            }
            Action::Order { host, failures } => {
                let (host, failures) = (host.clone(), *failures);
                self.set.spawn(async move {
                    let result = context.order(&host, failures).await;
                    Done::Ordered { host, result }
                })
            }
            Action::AskRenewal { host } => {
                let host = host.clone();
                self.set.spawn(async move {
                    let result = context.ask_renewal(&host).await;
                    Done::Asked { host, result }
                })
            }
        };
        self.actions.insert(handle.id(), action);
    }

    /// None if nothing is being done.
    async fn next(&mut self) -> Option<Done> {
        match self.set.join_next_with_id().await? {
            Ok((id, done)) => {
                self.actions.remove(&id);
                Some(done)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &JoinError) -> Option<Done> {
        let failure = Failure { why: error.to_string(), ..Failure::default() };
        Some(match self.actions.remove(&error.id())? {
            Action::OpenAccount => Done::Opened(Err(failure)),
            Action::Order { host, .. } => Done::Ordered { host, result: Err(failure) },
            Action::AskRenewal { host } => Done::Asked { host, result: Ok(None) },
        })
    }
}

fn tell(plan: &mut Plan, done: Done) {
    let now = SystemTime::now();
    match done {
        Done::Opened(result) => {
            match &result {
                Ok(url) => tracing::info!(url, "the account at the ACME server is open"),
                Err(failure) => {
                    tracing::warn!(why = failure.why, "no account at the ACME server");
                }
            }
            plan.opened(result, now);
        }
        Done::Ordered { host, result } => {
            match &result {
                Ok(_) => tracing::info!(host, "a certificate was issued"),
                Err(failure) => tracing::warn!(host, why = failure.why, "no certificate"),
            }
            plan.ordered(&host, result, now);
        }
        Done::Asked { host, result: Ok(window) } => plan.asked(&host, window, now),
        Done::Asked { result: Err(NeverSays), .. } => plan.never_ask(),
    }
}
