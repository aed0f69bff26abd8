//! What discovery has said so far.

use std::{collections::BTreeMap, path::Path, time::Duration};

use futures_util::StreamExt;
use lb_core::{
    discovery::Change,
    endpoint::{Endpoint, State},
    registry::Registration,
};
use lb_docker::{DockerDiscovery, EngineAddress, Options, Status};
use tokio::time::timeout;

/// What takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Observer {
    changes: DockerDiscovery,
    pub(crate) status: Status,
    pub(crate) known: BTreeMap<String, Endpoint<Registration>>,
    /// Each state that was told, with the id.
    history: Vec<(String, State)>,
    pub(crate) resets: usize,
}

impl Observer {
    pub(crate) fn new(options: Options) -> Self {
        let (changes, status) = DockerDiscovery::new(options);
        let (known, history) = (BTreeMap::new(), vec![]);
        Self { changes, status, known, history, resets: 0 }
    }

    /// Of the engine behind this socket, once the first set is there.
    pub(crate) async fn synced(socket: &Path) -> Self {
        let mut observer = Self::new(options(socket));
        observer.until("the first set", |seen| seen.resets == 1).await;
        observer
    }

    /// Reads until this holds.
    #[track_caller]
    pub(crate) fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let wait = async {
                while !holds(self) {
                    let change = self.changes.next().await.expect("discovery never ends");
                    self.take(change);
                }
            };
            let done = timeout(DEADLINE, wait).await;
            assert!(done.is_ok(), "{caller}: no {what}; {:?}", self.history);
        }
    }

    #[track_caller]
    pub(crate) fn until_active(&mut self, id: &str) -> impl Future<Output = ()> {
        self.until("active container", move |seen| seen.state(id) == Some(&State::Active))
    }

    #[track_caller]
    pub(crate) fn until_down(&mut self, id: &str, reason: &str) -> impl Future<Output = ()> {
        self.until(reason, move |seen| {
            matches!(seen.state(id), Some(State::Down(text)) if text.as_str().starts_with(reason))
        })
    }

    pub(crate) fn state(&self, id: &str) -> Option<&State> {
        self.known.get(id).map(|endpoint| &endpoint.state)
    }

    pub(crate) fn address(&self, id: &str) -> Option<String> {
        let endpoint = self.known.get(id)?;
        endpoint.target.bindings.first()?.address.map(|address| address.to_string())
    }

    /// The states that were told of a container, one after the other.
    pub(crate) fn states(&self, id: &str) -> Vec<State> {
        let told = self.history.iter().filter(|(told, _)| told == id);
        let mut states: Vec<_> = told.map(|(_, state)| state.clone()).collect();
        states.dedup();
        states
    }

    fn take(&mut self, change: Change<Registration>) {
        match change {
            Change::Reset(all) => {
                self.resets += 1;
                self.known.clear();
                for (id, endpoint) in all {
                    self.put(&id.to_string(), endpoint);
                }
            }
            Change::Upsert(id, endpoint) => self.put(&id.to_string(), endpoint),
            Change::Remove(id) => {
                self.known.remove(id.as_str());
            }
        }
    }

    fn put(&mut self, id: &str, endpoint: Endpoint<Registration>) {
        self.history.push((id.to_owned(), endpoint.state.clone()));
        self.known.insert(id.to_owned(), endpoint);
    }
}

pub(crate) fn options(socket: &Path) -> Options {
    Options::default().address(EngineAddress::Unix(socket.to_owned()))
}

/// Waits for what no change tells of.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(DEADLINE, wait).await.is_ok(), "{caller}: no {what}");
    }
}
