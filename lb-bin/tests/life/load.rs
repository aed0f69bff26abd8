//! Requests at a constant rate, whatever becomes of those before: half of them on
//! connections that are kept, half on new ones. Nothing is ever repeated.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::{self, MissedTickBehavior},
};

use crate::client::Client;

/// Requests of a second.
const RATE: u32 = 400;

pub(crate) struct Load {
    stop: oneshot::Sender<()>,
    counts: Arc<Mutex<Counts>>,
    task: JoinHandle<()>,
}

/// One request after the other, until it is dropped: traffic, whatever else this machine
/// has to do.
pub(crate) struct Trickle(JoinHandle<()>);

impl Trickle {
    pub(crate) fn start(address: SocketAddr, host: &'static str) -> Self {
        Self(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            loop {
                let answer = client.get(host, "/").await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }))
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answered: usize,
    pub(crate) failed: Vec<String>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, host: &'static str) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let counts = Arc::<Mutex<Counts>>::default();
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let kept = Arc::<Mutex<VecDeque<Client>>>::default();
            let mut requests = JoinSet::new();
            let mut tick = time::interval(Duration::from_secs(1) / RATE);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for number in 0_u64.. {
                tokio::select! {
                    _ = tick.tick() => {}
                    _ = &mut stopped => break,
                }
                let (kept, counted) = (Arc::clone(&kept), Arc::clone(&counted));
                requests.spawn(async move {
                    let done = request(address, host, number.is_multiple_of(2).then_some(&kept));
                    let done = done.await;
                    let mut counts = counted.lock().unwrap();
                    match done {
                        Ok(()) => counts.answered += 1,
                        Err(error) => counts.failed.push(format!("{number}: {error}")),
                    }
                });
            }
            requests.join_all().await;
        });
        Self { stop, counts, task }
    }

    /// Waits until as many more have been answered.
    pub(crate) async fn more(&self, count: usize) {
        let wanted = self.now().answered + count;
        let reached = time::timeout(crate::lb::LIMIT, async {
            while self.now().answered < wanted {
                time::sleep(Duration::from_millis(5)).await;
            }
        });
        reached.await.unwrap_or_else(|_| panic!("{:?}", self.now()));
    }

    fn now(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    /// Sends no more, waits for the answers, and fails if one is missing.
    pub(crate) async fn none_failed(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        let Counts { answered, failed } = self.counts.lock().unwrap().clone();
        assert!(failed.is_empty(), "{answered} answered, {} failed: {failed:#?}", failed.len());
    }
}

async fn request(
    address: SocketAddr,
    host: &str,
    kept: Option<&Arc<Mutex<VecDeque<Client>>>>,
) -> io::Result<()> {
    // The one that has waited longest, so that none is ever idle for long.
    let idle = kept.and_then(|kept| kept.lock().unwrap().pop_front());
    let mut client = match idle {
        Some(client) => client,
        None => Client::try_connect(address).await?,
    };
    let answer = client.get(host, "/").await?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("{answer:?}")));
    }
    if let (Some(kept), false) = (kept, answer.closes) {
        kept.lock().unwrap().push_back(client);
    }
    Ok(())
}
