use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::discover::{self, Discover};

use super::{Change, Reporter, Status};
use crate::endpoint::{Endpoint, EndpointId};

/// What tower's [`Discover`] finds, as a discovery of its services.
///
/// The text of a key is the identity of its endpoint. Inserting a key again
/// replaces its service. An error is reported in the [`Status`] and the log, and
/// the discovery is asked again after a second; what is known stays in force. It
/// ends when `discover` does. As tower has no word for a whole set, there is no
/// [`Change::Reset`]: a discovery that finds nothing says nothing.
///
/// ```
/// use lb_core::{balance::{Algorithm, Balance}, discovery};
/// use tower::{ServiceExt, discover::ServiceList, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hello = service_fn(|name: &str| {
///     let answer = format!("hello {name}");
///     async move { Ok::<_, std::io::Error>(answer) }
/// });
/// let found = discovery::from_tower(ServiceList::new::<&str>([hello]));
/// let (balance, driver) =
///     Balance::new(found, |_id, found| found.service().clone(), Algorithm::LeastRequest);
/// tokio::spawn(driver.run());
/// assert_eq!(balance.oneshot("you").await?, "hello you");
/// # Ok(())
/// # }
/// ```
pub fn from_tower<D>(discover: D) -> FromTower<D>
where
    D: Discover,
    D::Key: ToString,
    D::Error: fmt::Display,
{
    let (reporter, status) = Reporter::new();
    FromTower { discover, reporter, status, pause: None }
}

pin_project! {
    /// The discovery returned by [`from_tower`].
    #[must_use = "a discovery does nothing unless it is read"]
    pub struct FromTower<D> {
        #[pin]
        discover: D,
        reporter: Reporter,
        status: Status,
        pause: Option<Pin<Box<Sleep>>>,
    }
}

impl<D> FromTower<D> {
    /// Whether the last answer was an error, and which.
    pub fn status(&self) -> Status {
        self.status.clone()
    }
}

/// After an error, so that a discovery which only fails doesn't spin.
const PAUSE: Duration = Duration::from_secs(1);

impl<D> Stream for FromTower<D>
where
    D: Discover,
    D::Key: ToString,
    D::Error: fmt::Display,
{
    type Item = Change<Instance<D::Service>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(pause) = this.pause {
                ready!(pause.as_mut().poll(cx));
                *this.pause = None;
            }
            let id = |key: D::Key| EndpointId::from(key.to_string());
            let change = match ready!(this.discover.as_mut().poll_discover(cx)) {
                Some(Ok(discover::Change::Insert(key, service))) => {
                    Change::Upsert(id(key), Endpoint::new(Instance::new(service)))
                }
                Some(Ok(discover::Change::Remove(key))) => Change::Remove(id(key)),
                Some(Err(error)) => {
                    if this.reporter.trouble(&error) {
                        tracing::warn!(%error, "tower's discovery; what is known stays in force");
                    }
                    *this.pause = Some(Box::pin(sleep(PAUSE)));
                    continue;
                }
                None => return Poll::Ready(None),
            };
            if this.reporter.confirmed() {
                tracing::info!("tower's discovery answers again");
            }
            return Poll::Ready(Some(change));
        }
    }
}

impl<D> fmt::Debug for FromTower<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromTower").field("status", &self.status.report()).finish_non_exhaustive()
    }
}

/// A service that a discovery handed out.
///
/// Services can't be compared, but a [`Balance`](crate::Balance) must know
/// whether it has been given another one. So two instances are equal if they
/// come from the same insertion: one and its clones.
#[derive(Clone)]
pub struct Instance<S> {
    service: S,
    serial: u64,
}

/// One count for the whole process: instances of several discoveries may meet.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl<S> Instance<S> {
    fn new(service: S) -> Self {
        Self { service, serial: SERIAL.fetch_add(1, Ordering::Relaxed) }
    }

    /// The service.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The service itself.
    pub fn into_service(self) -> S {
        self.service
    }
}

impl<S> PartialEq for Instance<S> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<S> Eq for Instance<S> {}

impl<S> fmt::Debug for Instance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("serial", &self.serial).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use tokio::time::Instant;
    use tower::{ServiceExt, discover::ServiceList, service_fn};

    use super::*;
    use crate::balance::{Algorithm, Balance};

    fn insert(key: &str, service: u8) -> Result<discover::Change<&str, u8>, &'static str> {
        Ok(discover::Change::Insert(key, service))
    }

    #[tokio::test]
    async fn inserts_and_removals_become_changes() {
        let removal = Ok(discover::Change::Remove("a"));
        let changes = from_tower(stream::iter([insert("a", 1), insert("a", 2), removal]));
        let changes: Vec<_> = changes.collect().await;
        let [Change::Upsert(id, first), Change::Upsert(_, second), last] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(id.as_str(), "a");
        assert_eq!((first.target.service(), second.target.service()), (&1, &2));
        assert_eq!(first, &first.clone());
        assert_eq!(last, &Change::Remove("a".into()));
    }

    #[tokio::test]
    async fn the_same_service_inserted_again_is_another_one() {
        let mut changes = from_tower(stream::iter([insert("a", 1), insert("a", 1)]));
        assert_ne!(changes.next().await, changes.next().await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_reported_and_passes() {
        let start = Instant::now();
        let found = [insert("a", 1), Err("no answer"), insert("b", 2)];
        let mut changes = from_tower(stream::iter(found));
        let status = changes.status();
        assert!(changes.next().await.is_some());
        assert_eq!(status.report().last_error, None);
        let trouble = status.wait_for(|report| report.last_error.is_some());
        let (next, trouble) = tokio::join!(changes.next(), trouble);
        assert_eq!(trouble.unwrap().last_error.as_deref(), Some("no answer"));
        let Some(Change::Upsert(id, _)) = next else { panic!("{next:?}") };
        assert_eq!(id.as_str(), "b");
        assert_eq!(status.report().last_error, None);
        assert_eq!(start.elapsed(), PAUSE);
    }

    #[tokio::test]
    async fn our_balance_balances_what_tower_finds() {
        let service =
            |name: &'static str| service_fn(move |(): ()| async move { Ok::<_, Infallible>(name) });
        let found = from_tower(ServiceList::new::<()>([service("a"), service("b")]));
        let (balance, driver) =
            Balance::new(found, |_, found| *found.service(), Algorithm::RoundRobin);
        driver.run().await;
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(balance.clone().oneshot(()).await.unwrap());
        }
        answers.sort_unstable();
        assert_eq!(answers, ["a", "a", "b", "b"]);
    }
}
