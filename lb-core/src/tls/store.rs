//! Certificates by server name, from a folder that is followed as it changes.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task, time};
use tokio_rustls::rustls::{self, server::WebPkiClientVerifier};

use super::{
    CertificateReport, Effect, Problem, Report,
    directory::{self, Unit},
    history::{History, Step},
    scope::Scope,
    snapshot::Snapshot,
};

/// Where certificates are, and how they are followed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The folder.
    pub directory: PathBuf,
    /// The time between two reads; 5 s, and 10 ms at least. A change is in force
    /// this long and a second after it, at the latest.
    pub interval: Duration,
    /// Whether `default.crt` is shown to clients of hosts that have no other
    /// certificate, and to those that name no host; yes.
    pub trust_default: bool,
}

impl StoreOptions {
    /// For this folder, with what is usual for the rest.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), interval: INTERVAL, trust_default: true }
    }
}

/// The certificates of a folder, as they are now. Clones are the same store.
///
/// Keys are shown by nothing of it, neither `Debug` nor reports nor the log.
#[derive(Clone)]
pub struct CertificateStore(Arc<Shared>);

impl CertificateStore {
    /// A store that is empty until its follower runs.
    ///
    /// # Errors
    ///
    /// The system has no random numbers for the keys of session tickets.
    pub fn open(options: StoreOptions) -> Result<(Self, Follower), rustls::Error> {
        let snapshot = Snapshot { trust_default: options.trust_default, ..Snapshot::default() };
        let shared = Arc::new(Shared {
            directory: options.directory,
            snapshot: ArcSwap::from_pointee(snapshot),
            changed: watch::Sender::new(()),
            open: Arc::new(Scope::new(&WebPkiClientVerifier::no_client_auth())?),
        });
        let interval = options.interval.max(SHORTEST_INTERVAL);
        let follower = Follower { shared: Arc::downgrade(&shared), interval };
        Ok((Self(shared), follower))
    }

    /// What is served, and what is wrong, as of now.
    pub fn report(&self) -> Report {
        let (snapshot, now) = (self.snapshot(), SystemTime::now());
        Report {
            directory: self.0.directory.clone(),
            synced: snapshot.synced,
            certificates: snapshot.certificates(now),
            client_authorities: snapshot.client_authorities(),
            problems: snapshot.problems(now),
        }
    }

    /// Every certificate that is served, by name: for a metric of when they expire.
    pub fn certificates(&self) -> Vec<CertificateReport> {
        self.snapshot().certificates(SystemTime::now())
    }

    /// The first report that is as wanted; waits while the follower makes none.
    /// `wait_for(|report| report.synced)` waits until the folder has been read,
    /// which is forever if it can't be: that is one of its problems.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Report) -> bool) -> Report {
        let mut changed = self.0.changed.subscribe();
        loop {
            let report = self.report();
            // The sender is in the store, so it is there.
            if wanted(&report) || changed.changed().await.is_err() {
                return report;
            }
        }
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Is told of each change.
    #[cfg(feature = "acme")]
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Whose sessions those of clients are of whom nothing is demanded.
    pub(super) fn open_scope(&self) -> &Arc<Scope> {
        &self.0.open
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = &self.0.directory;
        f.debug_struct("CertificateStore").field("directory", directory).finish_non_exhaustive()
    }
}

struct Shared {
    directory: PathBuf,
    snapshot: ArcSwap<Snapshot>,
    /// Told of each new snapshot.
    changed: watch::Sender<()>,
    open: Arc<Scope>,
}

/// Keeps a [`CertificateStore`] as its folder is.
///
/// The folder is read again at an interval and the content of its files compared,
/// which finds every change however it was made: renamed, written in place, a link
/// swapped somewhere above. A version of a name's files counts once two reads in a
/// row found the same, so files still being written are left alone.
#[must_use = "a store stays empty unless its follower runs"]
pub struct Follower {
    shared: Weak<Shared>,
    interval: Duration,
}

const INTERVAL: Duration = Duration::from_secs(5);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Between the read that finds a change and the one that confirms it.
const SETTLING: Duration = Duration::from_secs(1);

/// Between the first two reads, while there is nothing that could be lost.
const FIRST_INTERVAL: Duration = Duration::from_millis(100);

/// A network file system that doesn't answer in this time is reported.
const READ_LIMIT: Duration = Duration::from_secs(10);

impl Follower {
    /// Runs inside a tokio runtime, until every clone of the store is gone.
    pub async fn run(self) {
        let mut reading = Reading::default();
        while let Some(shared) = self.shared.upgrade() {
            let step = reading.step(&shared).await;
            drop(shared);
            let pause = match step {
                Some(_) if reading.reads < 2 => self.interval.min(FIRST_INTERVAL),
                Some(Step { unsettled: true, .. }) => self.interval.min(SETTLING),
                _ => self.interval,
            };
            time::sleep(pause).await;
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("interval", &self.interval).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Reading {
    history: Arc<Mutex<History>>,
    /// How often the folder was read in whole, in a row until twice.
    reads: u64,
    /// What is wrong with the folder itself.
    folder: Option<Problem>,
    /// What is wrong, as the log was told.
    told: Vec<Problem>,
}

impl Reading {
    /// Reads once; none if the folder can't be read.
    async fn step(&mut self, shared: &Shared) -> Option<Step> {
        let (history, directory) = (self.history.clone(), shared.directory.clone());
        // File systems and keys take their time, which isn't the runtime's.
        let mut work = task::spawn_blocking(move || read(&directory, &history));
        let done = match time::timeout(READ_LIMIT, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                let limit = READ_LIMIT.as_secs();
                self.failed(shared, format!("not read in {limit} s"), "see to its file system");
                // Another read would hang beside it and cost one more thread.
                work.await
            }
        };
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(step) => {
                let healed = self.folder.take().is_some();
                self.reads = self.reads.saturating_add(1);
                self.publish(shared, step.changed || healed || self.reads == 2);
                Some(step)
            }
            Err(error) => {
                let what = format!("can't be read: {error}");
                self.failed(shared, what, "make it a folder this process may read");
                None
            }
        }
    }

    fn failed(&mut self, shared: &Shared, what: String, remedy: &str) {
        self.history().interrupted();
        if self.reads < 2 {
            self.reads = 0;
        }
        let problem = Problem {
            name: String::new(),
            file: shared.directory.clone(),
            what,
            remedy: remedy.into(),
            effect: if self.reads < 2 { Effect::NotServed } else { Effect::EarlierServed },
        };
        let news = self.folder.as_ref() != Some(&problem);
        self.folder = Some(problem);
        self.publish(shared, news);
    }

    /// Puts in force what was read, if that is something new, and tells the log.
    fn publish(&mut self, shared: &Shared, news: bool) {
        let snapshot = if news {
            let history = self.history();
            let mut problems = history.problems();
            problems.extend(self.folder.clone());
            let snapshot = Arc::new(Snapshot {
                synced: self.reads >= 2,
                trust_default: shared.snapshot.load().trust_default,
                entries: history.in_force(),
                problems,
            });
            drop(history);
            tracing::debug!(names = snapshot.entries.len(), "certificates are in force");
            shared.snapshot.store(snapshot.clone());
            shared.changed.send_replace(());
            snapshot
        } else {
            shared.snapshot.load_full()
        };
        let problems = snapshot.problems(SystemTime::now());
        for problem in problems.iter().filter(|problem| !self.told.contains(problem)) {
            tracing::warn!(%problem, "files of certificates");
        }
        if problems.is_empty() && !self.told.is_empty() {
            tracing::info!(folder = %shared.directory.display(), "files of certificates are right again");
        }
        self.told = problems;
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

fn read(directory: &Path, history: &Mutex<History>) -> io::Result<Step> {
    let units: BTreeMap<String, Unit> =
        directory::read(directory, |name| lock(history).has_certificate(name))?;
    Ok(lock(history).read(units, SystemTime::now()))
}

/// It is whole between two names, so a panic at one of them leaves it good.
fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
