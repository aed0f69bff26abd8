//! No more requests at once than an endpoint can take, and a bounded queue for
//! those beyond.
//!
//! Prefer [`Balance::max_in_flight`](crate::Balance::max_in_flight) where you
//! can: it knows before it picks, so that a request goes where there is room and
//! waits only if there is none anywhere. This is for what a balance can't know:
//! an endpoint whose limit differs from that of the others, a backend behind
//! several endpoints or balances, a service without a balance. A request in this
//! queue has been picked a place for already, and one that is refused counts as
//! a failure of its endpoint, which makes balancers and retries turn to others.
//!
//! tower's `ConcurrencyLimit` has callers wait in `poll_ready`, however many
//! there are.

use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, util::Oneshot};
use tower_service::Service;

/// Makes [`Limit`] services, each with a limit and a queue of its own.
///
/// ```
/// use std::{convert::Infallible, future};
/// use lb_core::{balance::{Algorithm, Balance}, discovery, resilience::limit::LimitLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let connect = |_id: &_, name: &&'static str| {
///     let answer = *name;
///     // The small one takes less.
///     let most = if answer == "small" { 2 } else { 100 };
///     let service = service_fn(move |()| future::ready(Ok::<_, Infallible>(answer)));
///     LimitLayer::new(most, 10).layer(service)
/// };
/// let endpoints = discovery::fixed(["small", "large"]);
/// let (balance, driver) = Balance::new(endpoints, connect, Algorithm::RoundRobin);
/// tokio::spawn(driver.run());
/// balance.oneshot(()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LimitLayer {
    max_in_flight: usize,
    queue: usize,
}

impl LimitLayer {
    /// At most `max_in_flight` requests at once, taken to be at least 1, and
    /// `queue` more that wait for them to end.
    pub fn new(max_in_flight: usize, queue: usize) -> Self {
        Self { max_in_flight, queue }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, service: S) -> Self::Service {
        Limit::new(service, self.max_in_flight, self.queue)
    }
}

/// Lets a limited number of requests through at once, those that waited longest
/// first; clones share the limit.
///
/// It is always ready. A request that finds the queue full gets
/// [`Error::Overloaded`] at once. One in the queue waits for as long as it takes
/// those before it, so bound that by a
/// [deadline](super::deadline::DeadlineLayer) around the whole. A request counts
/// from before the inner service is ready for it until the response is there; a
/// body that streams on doesn't count.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    service: S,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    in_flight: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
}

impl<S> Limit<S> {
    /// At most `max_in_flight` requests at once, taken to be at least 1, and
    /// `queue` more that wait for them to end.
    pub fn new(service: S, max_in_flight: usize, queue: usize) -> Self {
        let most = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let in_flight = Arc::new(Semaphore::new(most));
        Self { service, room: Arc::new(Room { in_flight, waiting: AtomicUsize::new(0), queue }) }
    }
}

impl<S, Req> Service<Req> for Limit<S>
where
    S: Service<Req> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // The semaphore is fair: while others wait, there is nothing to be had.
        let state = if let Ok(permit) = Arc::clone(&self.room.in_flight).try_acquire_owned() {
            let call = Oneshot::new(self.service.clone(), request);
            State::Calling { call, permit }
        } else if let Some(waiting) = Waiting::begin(&self.room) {
            let call = Some((self.service.clone(), request));
            State::Waiting { permit: Box::pin(waiting.acquire()), call }
        } else {
            State::Overloaded
        };
        ResponseFuture { state }
    }
}

/// Why a request got no answer from a [`Limit`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// As many requests as may are in flight, and as many as may wait.
    Overloaded,
    /// The service answered with an error.
    Inner(E),
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overloaded => "too many requests are in flight and waiting",
            Self::Inner(_) => "the service failed",
        })
    }
}

impl<E: error::Error + 'static> error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Overloaded => None,
            Self::Inner(error) => Some(error),
        }
    }
}

type Permit = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

pin_project! {
    /// The answer to one request sent through a [`Limit`].
    pub struct ResponseFuture<S: Service<Req>, Req> {
        #[pin]
        state: State<S, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S: Service<Req>, Req> {
        Waiting { permit: Permit, call: Option<(S, Req)> },
        Calling { #[pin] call: Oneshot<S, Req>, permit: OwnedSemaphorePermit },
        Overloaded,
        Done,
    }
}

impl<S: Service<Req>, Req> Future for ResponseFuture<S, Req> {
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = loop {
            match state.as_mut().project() {
                StateProj::Waiting { permit, call } => {
                    match (ready!(permit.as_mut().poll(cx)), call.take()) {
                        (Some(permit), Some((service, request))) => {
                            let call = Oneshot::new(service, request);
                            state.set(State::Calling { call, permit });
                        }
                        _ => break Err(Error::Overloaded),
                    }
                }
                StateProj::Calling { call, .. } => {
                    break ready!(call.poll(cx)).map_err(Error::Inner);
                }
                StateProj::Overloaded => break Err(Error::Overloaded),
                StateProj::Done => return Poll::Pending,
            }
        };
        // Whoever keeps this future must not keep the permit.
        state.set(State::Done);
        Poll::Ready(result)
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// One request in the queue.
struct Waiting(Arc<Room>);

impl Waiting {
    fn begin(room: &Arc<Room>) -> Option<Self> {
        let before = room.waiting.fetch_add(1, Ordering::Relaxed);
        let this = Self(Arc::clone(room));
        (before < room.queue).then_some(this)
    }

    /// `None` if the semaphore were closed, which it never is.
    async fn acquire(self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.in_flight).acquire_owned().await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::Mutex};

    use futures_util::future::join_all;
    use tokio::time::{self, Instant};
    use tower::{ServiceExt, service_fn, util::BoxCloneService};

    use super::*;
    use crate::resilience::test_support::{Strict, is_pending, ms};

    /// Answers after 10 ms. Notes how many do so at once at most, and in which
    /// order they began.
    #[derive(Clone, Default)]
    struct Gauge {
        now: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        order: Arc<Mutex<Vec<u32>>>,
    }

    impl Gauge {
        async fn answer(self, request: u32) -> Result<u32, &'static str> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.order.lock().unwrap().push(request);
            time::sleep(ms(10)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            if request == 666 { Err("broken") } else { Ok(request) }
        }

        fn limited(
            &self,
            most: usize,
            queue: usize,
        ) -> Limit<BoxCloneService<u32, u32, &'static str>> {
            let gauge = self.clone();
            let service = service_fn(move |request| gauge.clone().answer(request));
            LimitLayer::new(most, queue).layer(BoxCloneService::new(Strict::new(service)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lets_so_many_through_has_so_many_wait_and_refuses_the_rest_at_once() {
        let gauge = Gauge::default();
        let limit = gauge.limited(3, 4);
        let start = Instant::now();
        let calls = (0..10).map(|request| {
            let limit = limit.clone();
            async move { (limit.oneshot(request).await, start.elapsed()) }
        });
        let results = join_all(calls).await;
        let answered = |request, at| (Ok(request), ms(at));
        let refused = || (Err(Error::Overloaded), ms(0));
        assert_eq!(results[..3], [answered(0, 10), answered(1, 10), answered(2, 10)]);
        assert_eq!(
            results[3..7],
            [(3, 20), (4, 20), (5, 20), (6, 30)].map(|(n, at)| answered(n, at))
        );
        assert_eq!(results[7..], [refused(), refused(), refused()]);
        assert_eq!(gauge.most.load(Ordering::SeqCst), 3);
        assert_eq!(*gauge.order.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6], "in the order they came");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_or_fails_makes_room() {
        let limit = Gauge::default().limited(1, 1);
        let running = limit.clone().ready_oneshot().await.unwrap().call(1);
        let waiting = limit.clone().ready_oneshot().await.unwrap().call(2);
        assert_eq!(limit.clone().oneshot(3).await, Err(Error::Overloaded));
        drop(waiting);
        let waiting = limit.clone().ready_oneshot().await.unwrap().call(4);
        drop(running);
        assert_eq!(waiting.await, Ok(4));
        assert_eq!(limit.clone().oneshot(666).await, Err(Error::Inner("broken")));
        let mut kept = Box::pin(limit.clone().ready_oneshot().await.unwrap().call(5));
        assert_eq!(kept.as_mut().await, Ok(5));
        let start = Instant::now();
        assert_eq!(time::timeout(ms(100), limit.oneshot(6)).await, Ok(Ok(6)));
        assert_eq!(start.elapsed(), ms(10), "a future that is kept keeps no place");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_inner_service_counts() {
        #[derive(Clone)]
        struct Never;

        impl Service<()> for Never {
            type Response = ();
            type Error = ();
            type Future = future::Ready<Result<(), ()>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
                Poll::Pending
            }

            fn call(&mut self, (): ()) -> Self::Future {
                future::ready(Ok(()))
            }
        }

        let limit = Limit::new(Never, 1, 1);
        let mut calls: Vec<_> = (0..3).map(|_| Box::pin(limit.clone().oneshot(()))).collect();
        assert!(is_pending(&mut calls[0]));
        assert!(is_pending(&mut calls[1]));
        assert_eq!((&mut calls[2]).await, Err(Error::Overloaded));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn holds_on_many_threads() {
        let gauge = Gauge::default();
        let limit = gauge.limited(5, 1000);
        let calls = (0..200).map(|request| tokio::spawn(limit.clone().oneshot(request)));
        for result in join_all(calls).await {
            result.unwrap().unwrap();
        }
        assert_eq!(gauge.most.load(Ordering::SeqCst), 5);
        assert_eq!(limit.room.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_will_do() {
        assert_eq!(Gauge::default().limited(0, 0).oneshot(1).await, Ok(1));
        assert_eq!(Gauge::default().limited(usize::MAX, usize::MAX).oneshot(1).await, Ok(1));
    }
}
