//! No waiting for a service that has not been ready for a while.
//!
//! Where a service makes its callers wait until it is ready, an outage makes a
//! queue of them, and each waits in vain. Here they wait for a while, and from
//! then on fail at once, until the service is ready again. The idea is
//! linkerd's. tower's `LoadShed` is this with no patience at all: it refuses
//! whatever comes while the service is busy for a moment.
//!
//! A [`Balance`](crate::Balance) needs none of it: it is always ready, and its
//! [wait](crate::Balance::wait) follows the same rule. This is for a single
//! service, such as one behind a buffer, a limit or a reconnect.

use std::{
    error, fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::time::{self, Sleep};
use tower::Layer;
use tower_service::Service;

use crate::clock::{self, duration_nanos};

/// Makes [`FailFast`] services.
///
/// ```
/// use std::{convert::Infallible, future, time::Duration};
/// use lb_core::resilience::failfast::{Error, FailFastLayer};
/// use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hangs = service_fn(|()| future::pending::<Result<(), Infallible>>());
/// let limited = ConcurrencyLimit::new(hangs, 1);
/// let mut service = FailFastLayer::new().patience(Duration::from_millis(5)).layer(limited);
/// let first = service.ready().await?.call(());
/// let second = service.ready().await?.call(());
/// assert!(matches!(second.await, Err(Error::Unavailable)));
/// # drop(first);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FailFastLayer {
    patience: Duration,
}

impl FailFastLayer {
    /// A patience of 3 seconds, unless set below.
    pub fn new() -> Self {
        Self { patience: Duration::from_secs(3) }
    }

    /// For how long the service may be pending before requests fail at once.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl Default for FailFastLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for FailFastLayer {
    type Service = FailFast<S>;

    fn layer(&self, service: S) -> Self::Service {
        FailFast::new(service, self.patience)
    }
}

/// Fails requests at once when the inner service has been pending for too long.
///
/// Clones share what they know: when one has found the service pending for
/// longer than the patience, requests at all of them fail with
/// [`Error::Unavailable`], until one finds it ready. Each request that fails so
/// has first asked the service whether it is ready, so none fails that need not.
/// What was seen longer ago than twice the patience is not held against the
/// service: it may have been ready in between.
///
/// A service that gets ready only while somebody polls it, as tower's
/// `Reconnect` does, is polled by requests, and between them by nobody. Put
/// `tower::spawn_ready` between, which does that from a task of its own.
#[derive(Debug)]
pub struct FailFast<S> {
    service: S,
    patience: Duration,
    outage: Arc<Outage>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// `call` is for the inner service.
    #[default]
    Open,
    /// Pending since then, as far as this clone knows.
    Waiting { since: Instant, sleep: Pin<Box<Sleep>> },
    /// The next `call` fails.
    Refusing,
}

impl<S> FailFast<S> {
    /// Waits this long for `service` to be ready.
    pub fn new(service: S, patience: Duration) -> Self {
        let outage = Arc::new(Outage::new(clock::now()));
        Self { service, patience, outage, state: State::Open }
    }

    /// Whether patience is at its end.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        let since = match &self.state {
            State::Waiting { since, .. } => *since,
            State::Open | State::Refusing => now,
        };
        // An outage seen by others began earlier. One that ended meanwhile
        // doesn't make this request wait for longer.
        let begun = self.outage.observe(now, self.patience).min(since);
        let Some(end) = begun.checked_add(self.patience) else { return Poll::Pending };
        if end <= now {
            return Poll::Ready(());
        }
        let mut sleep = match mem::take(&mut self.state) {
            State::Waiting { sleep, .. } => sleep,
            State::Open | State::Refusing => Box::pin(time::sleep_until(end.into())),
        };
        if sleep.deadline() != end.into() {
            sleep.as_mut().reset(end.into());
        }
        let patience = sleep.as_mut().poll(cx);
        self.state = State::Waiting { since, sleep };
        patience
    }
}

impl<S, Req> Service<Req> for FailFast<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(result) = self.service.poll_ready(cx) {
            self.outage.end();
            self.state = State::Open;
            return Poll::Ready(result.map_err(Error::Inner));
        }
        ready!(self.poll_patience(cx));
        self.state = State::Refusing;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let refuse = matches!(self.state, State::Refusing);
        self.state = State::Open;
        ResponseFuture { call: (!refuse).then(|| self.service.call(request)) }
    }
}

/// A clone has its own readiness to wait for.
impl<S: Clone> Clone for FailFast<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            patience: self.patience,
            outage: Arc::clone(&self.outage),
            state: State::Open,
        }
    }
}

/// Why a request got no answer from a [`FailFast`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The service has not been ready for longer than the patience.
    Unavailable,
    /// The service answered with an error.
    Inner(E),
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the service has not been ready for a while",
            Self::Inner(_) => "the service failed",
        })
    }
}

impl<E: error::Error + 'static> error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unavailable => None,
            Self::Inner(error) => Some(error),
        }
    }
}

pin_project! {
    /// The answer to one request sent through a [`FailFast`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        call: Option<F>,
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().call.as_pin_mut() {
            Some(call) => call.poll(cx).map_err(Error::Inner),
            None => Poll::Ready(Err(Error::Unavailable)),
        }
    }
}

/// Since when, and when last, the service has been found pending: nanoseconds
/// since `born`, and one more, as 0 stands for not. The two may be a step apart.
#[derive(Debug)]
struct Outage {
    born: Instant,
    since: AtomicU64,
    seen: AtomicU64,
}

impl Outage {
    fn new(born: Instant) -> Self {
        Self { born, since: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    /// Sees the service pending, and says since when it has been so.
    fn observe(&self, now: Instant, patience: Duration) -> Instant {
        let at = duration_nanos(now.saturating_duration_since(self.born)).saturating_add(1);
        let seen = self.seen.swap(at, Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        // Who waits sees it when he begins to and again at his patience's end.
        if since != 0 && at.saturating_sub(seen) <= duration_nanos(patience).saturating_mul(2) {
            return self.born + Duration::from_nanos(since - 1);
        }
        self.since.store(at, Ordering::Relaxed);
        now
    }

    fn end(&self) {
        // Nearly always 0 already, and a load is cheaper than a store.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future, io};

    use futures_util::future::join_all;
    use tokio::time::Instant as TokioInstant;
    use tower::{ServiceExt, limit::ConcurrencyLimit, service_fn, spawn_ready::SpawnReady};

    use super::*;
    use crate::resilience::test_support::{Strict, ms};

    /// A request is answered when the sender it carries is used or dropped.
    type Request = tokio::sync::oneshot::Receiver<()>;

    /// Ready for one request at a time: `hang` keeps it from being so.
    fn one_at_a_time() -> FailFast<
        impl Service<Request, Response = (), Error = io::Error, Future: Send> + Clone + Send,
    > {
        let service = service_fn(|request: Request| async move {
            let _ = request.await;
            Ok(())
        });
        FailFastLayer::new().layer(Strict::new(ConcurrencyLimit::new(service, 1)))
    }

    /// A request that is answered at once.
    fn quick() -> Request {
        tokio::sync::oneshot::channel().1
    }

    async fn timed<S>(service: &S) -> (Result<(), Error<io::Error>>, Duration)
    where
        S: Service<Request, Response = (), Error = Error<io::Error>> + Clone,
    {
        let start = TokioInstant::now();
        let result = service.clone().oneshot(quick()).await;
        (result, start.elapsed())
    }

    macro_rules! hang {
        ($service:expr) => {{
            let (answer, request) = tokio::sync::oneshot::channel();
            (answer, tokio::spawn($service.clone().ready_oneshot().await.unwrap().call(request)))
        }};
    }

    fn is_unavailable(result: &Result<(), Error<io::Error>>) -> bool {
        matches!(result, Err(Error::Unavailable))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_at_first_then_fails_at_once_and_recovers() {
        let service = one_at_a_time();
        assert!(timed(&service).await.0.is_ok());
        let (answer, hanging) = hang!(service);
        let (result, took) = timed(&service).await;
        assert!(is_unavailable(&result) && took == ms(3000), "{took:?}");
        for _ in 0..10 {
            let (result, took) = timed(&service).await;
            assert!(is_unavailable(&result) && took == ms(0), "{took:?}");
            tokio::time::sleep(ms(1000)).await;
        }
        answer.send(()).unwrap();
        hanging.await.unwrap().unwrap();
        let (result, took) = timed(&service).await;
        assert!(result.is_ok() && took == ms(0), "{result:?}");
        let (_answer, _hanging) = hang!(service);
        assert_eq!(timed(&service).await.1, ms(3000), "a new outage is met with patience");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_ready_in_time_is_called() {
        let service = one_at_a_time();
        let (answer, _hanging) = hang!(service);
        tokio::spawn(async move {
            tokio::time::sleep(ms(2900)).await;
            answer.send(()).unwrap();
        });
        let (result, took) = timed(&service).await;
        assert!(result.is_ok() && took == ms(2900), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_that_of_all_clones() {
        let service = one_at_a_time();
        let (_answer, _hanging) = hang!(service);
        let calls = [0, 1000, 2000, 2999, 3500].map(|at| {
            let service = service.clone();
            async move {
                tokio::time::sleep(ms(at)).await;
                timed(&service).await
            }
        });
        let results = join_all(calls).await;
        assert!(results.iter().all(|(result, _)| is_unavailable(result)));
        let took: Vec<_> = results.iter().map(|(_, took)| took.as_millis()).collect();
        assert_eq!(took, [3000, 2000, 1000, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_sighting_is_not_held_against_it() {
        let service = one_at_a_time();
        let (_answer, _hanging) = hang!(service);
        tokio::time::timeout(ms(10), timed(&service)).await.unwrap_err();
        tokio::time::sleep(ms(60_000)).await;
        assert_eq!(timed(&service).await.1, ms(3000));
    }

    #[tokio::test(start_paused = true)]
    async fn one_instance_that_is_used_again_and_again_behaves_the_same() {
        let mut service = one_at_a_time();
        let (answer, hanging) = hang!(service);
        let start = TokioInstant::now();
        for _ in 0..3 {
            let call = service.ready().await.unwrap().call(quick());
            assert!(is_unavailable(&call.await));
            assert_eq!(start.elapsed(), ms(3000));
        }
        answer.send(()).unwrap();
        hanging.await.unwrap().unwrap();
        service.ready().await.unwrap().call(quick()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_patience_sheds_at_once_and_endless_patience_waits() {
        let (_answer, request) = tokio::sync::oneshot::channel::<()>();
        let service = |request: Request| async move {
            request.await.ok();
            Ok::<_, io::Error>(())
        };
        let limited = ConcurrencyLimit::new(service_fn(service), 1);
        let _running = limited.clone().ready_oneshot().await.unwrap().call(request);
        let start = TokioInstant::now();
        let sheds = FailFast::new(limited.clone(), Duration::ZERO);
        assert!(is_unavailable(&timed(&sheds).await.0));
        assert_eq!(start.elapsed(), ms(0));
        let waits = FailFast::new(limited, Duration::MAX);
        tokio::time::timeout(ms(1_000_000), timed(&waits)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_late_makes_no_difference() {
        let service = one_at_a_time();
        let (_answer, _hanging) = hang!(service);
        let service = FailFast::new(service, Duration::from_micros(999_500));
        let asks = || async {
            let start = TokioInstant::now();
            assert!(service.clone().oneshot(quick()).await.is_err());
            start.elapsed()
        };
        assert_eq!(asks().await, ms(1000));
        assert_eq!(asks().await, ms(0));
    }

    /// Ready as long as it is told so.
    #[derive(Clone, Default)]
    struct Told(Arc<std::sync::atomic::AtomicBool>);

    impl Service<()> for Told {
        type Response = ();
        type Error = io::Error;
        type Future = future::Ready<io::Result<()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, (): ()) -> Self::Future {
            future::ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_for_longer_though_others_got_through() {
        let told = Told::default();
        let service = FailFast::new(told.clone(), ms(3000));
        let start = TokioInstant::now();
        let waiting = tokio::spawn(service.clone().oneshot(()));
        time::sleep(ms(2000)).await;
        told.0.store(true, Ordering::Relaxed);
        service.clone().oneshot(()).await.unwrap();
        told.0.store(false, Ordering::Relaxed);
        assert!(matches!(waiting.await.unwrap(), Err(Error::Unavailable)));
        assert_eq!(start.elapsed(), ms(3000));
        assert!(matches!(service.oneshot(()).await, Err(Error::Unavailable)));
        assert_eq!(start.elapsed(), ms(6000), "for the others patience begins anew");
    }

    /// Gets ready step by step, each after 100 ms, as long as it is polled.
    struct Slow {
        steps: u32,
        step: Pin<Box<Sleep>>,
    }

    impl Service<()> for Slow {
        type Response = ();
        type Error = io::Error;
        type Future = future::Ready<io::Result<()>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            while self.steps > 0 {
                ready!(self.step.as_mut().poll(cx));
                self.steps -= 1;
                self.step = Box::pin(time::sleep(ms(100)));
            }
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            future::ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_spawn_ready_it_recovers_though_nobody_asks() {
        let slow = Slow { steps: 10, step: Box::pin(time::sleep(ms(100))) };
        let mut service = FailFast::new(SpawnReady::new(slow), ms(50));
        let refused = service.ready().await.unwrap().call(());
        assert!(matches!(refused.await, Err(Error::Unavailable)));
        time::sleep(ms(1000)).await;
        service.ready().await.unwrap().call(()).await.unwrap();
    }
}
