//! A second attempt, at another endpoint, when the first takes unusually long:
//! the answer that comes first counts ("The Tail at Scale", Dean and Barroso,
//! CACM 2013).
//!
//! tower's own hedge has no budget, so that a cluster which slows down as a
//! whole gets up to twice the load. Its second attempt may go to the endpoint
//! that is slow already. It counts in whole milliseconds behind a lock, boxes
//! its errors, and measures both attempts alone: one that was cut short, the
//! slow one, leaves no trace, and the percentile sinks.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::time::{self, Sleep};
use tower::Layer;
use tower_service::Service;

use super::{
    budget::{Budget, TokenBudget},
    latencies::{Latencies, Rules},
    policy::Policy,
};
use crate::{balance::Attempt, clock};

/// Makes [`Hedge`] services that have one budget, and each its own latencies.
///
/// [`Hedge`] takes attempts. Alone, it is given them by
/// `map_request(Attempt::new)`; below a [`Retry`](super::retry::Retry), each of
/// the retry's attempts is hedged.
///
/// ```
/// use std::{convert::Infallible, future};
/// use lb_core::{
///     balance::{Algorithm, Attempt, Balance},
///     discovery,
///     resilience::{hedge::HedgeLayer, policy::OnTransient},
/// };
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let connect = |_id: &_, _: &&'static str| {
///     service_fn(|request: u32| future::ready(Ok::<_, Infallible>(request + 1)))
/// };
/// let endpoints = discovery::fixed(["a", "b"]);
/// let (balance, driver) = Balance::new(endpoints, connect, Algorithm::LeastRequest);
/// tokio::spawn(driver.run());
/// let service = ServiceBuilder::new()
///     .map_request(Attempt::new)
///     .layer(HedgeLayer::new(OnTransient).percentile(0.99))
///     .service(balance.attempts());
/// assert_eq!(service.oneshot(1).await?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HedgeLayer<P> {
    policy: P,
    rules: Rules,
    budget: Arc<dyn Budget + Send + Sync>,
}

impl<P> HedgeLayer<P> {
    /// Hedges what `policy` allows to be sent twice, after the 95th percentile
    /// of at least 100 latencies in the last 30 to 60 seconds, unless set below.
    ///
    /// The budget is a hedge for every ten requests that may be hedged, and one
    /// in ten seconds.
    pub fn new(policy: P) -> Self {
        let rules = Rules { percentile: 0.95, min_samples: 100, period: Duration::from_secs(30) };
        Self { policy, rules, budget: Arc::new(TokenBudget::new(0.1, 0.1)) }
    }

    /// From 0 to 1: the part of the latencies that a request must have outlasted
    /// to be hedged. What is outside is taken for the nearer end, and what is no
    /// number for 1.
    #[must_use]
    pub fn percentile(mut self, percentile: f64) -> Self {
        self.rules.percentile = if percentile < 1.0 { percentile.max(0.0) } else { 1.0 };
        self
    }

    /// How many latencies must be known; with fewer, nothing is hedged.
    #[must_use]
    pub fn min_samples(mut self, samples: u64) -> Self {
        self.rules.min_samples = samples;
        self
    }

    /// Latencies are forgotten when they are between one and two such periods
    /// old. At least a millisecond.
    #[must_use]
    pub fn period(mut self, period: Duration) -> Self {
        self.rules.period = period.max(Duration::from_millis(1));
        self
    }

    /// What hedges are paid from, such as a budget shared with retries. Every
    /// request that may be hedged deposits, and every hedge withdraws.
    #[must_use]
    pub fn budget(mut self, budget: Arc<impl Budget + Send + Sync + 'static>) -> Self {
        self.budget = budget;
        self
    }
}

impl<S, P: Clone> Layer<S> for HedgeLayer<P> {
    type Service = Hedge<S, P>;

    fn layer(&self, service: S) -> Self::Service {
        let latencies = Latencies::new(self.rules, clock::now());
        let shared = Shared { policy: self.policy.clone(), budget: self.budget.clone(), latencies };
        Hedge { service, shared: Arc::new(shared) }
    }
}

impl<P: fmt::Debug> fmt::Debug for HedgeLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer")
            .field("policy", &self.policy)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Makes of one attempt up to two.
///
/// The first good answer counts, and the other attempt is dropped: cancelled,
/// and its lease released. An error, and what the [policy](Policy::retryable)
/// wouldn't settle for, is the answer only if no other attempt is under way: a
/// hedge for which there is no room ends nothing. A first attempt that fails
/// before it was hedged is not hedged any more: that is for retries.
///
/// Both attempts share a [`Tried`](crate::balance::Tried), so the second one goes
/// to another endpoint if there is one. A hedge comes a millisecond late at
/// most, which is as fine as tokio's timer is.
///
/// What is measured is the time to the good answer, hedged or not: a request
/// that was hedged has outlasted the percentile and counts as one that did.
pub struct Hedge<S, P> {
    service: S,
    shared: Arc<Shared<P>>,
}

impl<S, P: Clone> Hedge<S, P> {
    /// Hedges with the defaults of [`HedgeLayer::new`].
    pub fn new(service: S, policy: P) -> Self {
        HedgeLayer::new(policy).layer(service)
    }
}

struct Shared<P> {
    policy: P,
    budget: Arc<dyn Budget + Send + Sync>,
    latencies: Latencies,
}

impl<S, P, Req> Service<Attempt<Req>> for Hedge<S, P>
where
    S: Service<Attempt<Req>> + Clone,
    P: Policy<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, attempt: Attempt<Req>) -> Self::Future {
        let Some(copy) = self.shared.policy.clone_request(&attempt.request) else {
            let first = Some(self.service.call(attempt));
            return ResponseFuture { first, second: Second::None, race: None };
        };
        self.shared.budget.deposit();
        let started = clock::now();
        let unusual = self.shared.latencies.percentile(started);
        let second = match unusual.and_then(|unusual| started.checked_add(unusual)) {
            Some(at) => Second::Later { at: time::sleep_until(at.into()) },
            None => Second::None,
        };
        let copy = attempt.again(copy);
        let other = self.service.clone();
        let mut service = mem::replace(&mut self.service, other);
        let first = Some(service.call(attempt));
        let shared = Arc::clone(&self.shared);
        ResponseFuture {
            first,
            second,
            race: Some(Race { service, shared, started, copy: Some(copy), failure: None }),
        }
    }
}

impl<S: Clone, P> Clone for Hedge<S, P> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for Hedge<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("service", &self.service).finish_non_exhaustive()
    }
}

pin_project! {
    /// The answer to one attempt sent through a [`Hedge`].
    pub struct ResponseFuture<S, P, Req>
    where
        S: Service<Attempt<Req>>,
    {
        #[pin]
        first: Option<S::Future>,
        #[pin]
        second: Second<S::Future>,
        race: Option<Race<S, P, Req>>,
    }
}

pin_project! {
    #[project = SecondProj]
    enum Second<F> {
        None,
        Later { #[pin] at: Sleep },
        Readying,
        Calling { #[pin] call: F },
    }
}

/// What a second attempt takes, and where to tell how long it took.
struct Race<S: Service<Attempt<Req>>, P, Req> {
    service: S,
    shared: Arc<Shared<P>>,
    started: Instant,
    copy: Option<Attempt<Req>>,
    /// Of the attempt that has ended, if a retry may do better.
    failure: Option<S::Error>,
}

impl<S, P, Req> Race<S, P, Req>
where
    S: Service<Attempt<Req>>,
    P: Policy<Req, S::Response, S::Error>,
{
    /// Takes a result, unless it is a failure and the other attempt may yet do
    /// better.
    fn settle(
        &mut self,
        result: Result<S::Response, S::Error>,
        other_ended: bool,
    ) -> Option<Result<S::Response, S::Error>> {
        let retryable = self.shared.policy.retryable(result.as_ref());
        match result {
            Ok(response) if !retryable => {
                self.observe();
                Some(Ok(response))
            }
            // That there was no room for a hedge says nothing of why the first
            // attempt failed, and would keep a retry from being made.
            Err(error) if other_ended && !retryable => {
                Some(Err(self.failure.take().unwrap_or(error)))
            }
            result if other_ended => Some(result),
            Err(error) if retryable => {
                self.failure = Some(error);
                None
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn observe(&self) {
        let now = clock::now();
        self.shared.latencies.observe(now.saturating_duration_since(self.started), now);
    }
}

impl<S, P, Req> ResponseFuture<S, P, Req>
where
    S: Service<Attempt<Req>>,
    P: Policy<Req, S::Response, S::Error>,
{
    /// The first result that is good, or that there is no hope beside.
    fn poll_race(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let Some(race) = this.race else {
            let Some(only) = this.first.as_pin_mut() else { return Poll::Pending };
            return only.poll(cx);
        };
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            let alone = !matches!(*this.second, Second::Calling { .. });
            if let Some(result) = race.settle(result, alone) {
                return Poll::Ready(result);
            }
            this.first.set(None);
        }
        loop {
            let next = match this.second.as_mut().project() {
                SecondProj::None => return Poll::Pending,
                SecondProj::Later { at } => {
                    ready!(at.poll(cx));
                    if race.shared.budget.withdraw() { Second::Readying } else { Second::None }
                }
                SecondProj::Readying => match ready!(race.service.poll_ready(cx)) {
                    Ok(()) => match race.copy.take() {
                        Some(copy) => Second::Calling { call: race.service.call(copy) },
                        None => Second::None,
                    },
                    // The first attempt may yet succeed.
                    Err(_) => Second::None,
                },
                SecondProj::Calling { call } => {
                    let result = ready!(call.poll(cx));
                    if let Some(result) = race.settle(result, this.first.is_none()) {
                        return Poll::Ready(result);
                    }
                    Second::None
                }
            };
            this.second.set(next);
        }
    }
}

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Attempt<Req>>,
    P: Policy<Req, S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.as_mut().poll_race(cx));
        // Whoever keeps this future must not keep the loser.
        let mut this = self.project();
        this.first.set(None);
        this.second.set(Second::None);
        Poll::Ready(result)
    }
}

impl<S: Service<Attempt<Req>>, P, Req> fmt::Debug for ResponseFuture<S, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        future,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::Instant as TokioInstant;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{
        balance::{Algorithm, Error},
        resilience::{
            policy::{OnTransient, policy_fn},
            test_support::{Call, Endpoints, Failure, Strict, ms},
        },
    };

    /// The request whose way is told from that of the others.
    const ODD: u32 = 1_000_000;

    async fn after<T>(millis: u64, result: T) -> T {
        tokio::time::sleep(ms(millis)).await;
        result
    }

    /// Two endpoints that take 10 ms, and do as `odd` says with the odd request.
    async fn two<A>(odd: fn(Call) -> A) -> Endpoints
    where
        A: Future<Output = Result<usize, Failure>> + Send + 'static,
    {
        let answer = move |call: Call| async move {
            if call.request == ODD { odd(call).await } else { after(10, Ok(call.endpoint)).await }
        };
        Endpoints::new(2, Algorithm::RoundRobin, answer).await
    }

    /// Hangs where it is sent first.
    async fn hangs_first(call: Call) -> Result<usize, Failure> {
        if call.nth == 0 { future::pending().await } else { after(10, Ok(call.nth)).await }
    }

    async fn warm<S>(hedge: &S, requests: u32)
    where
        S: Service<Attempt<u32>, Error = Error<Failure>> + Clone,
    {
        for request in 0..requests {
            assert!(hedge.clone().oneshot(Attempt::new(request)).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_answered_by_another() {
        let endpoints = two(hangs_first).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        let start = TokioInstant::now();
        let call = tokio::spawn(hedge.oneshot(Attempt::new(ODD)));
        tokio::time::sleep(ms(15)).await;
        assert_eq!(endpoints.in_flight(), [1, 1], "both are under way");
        assert_eq!(call.await.unwrap(), Ok(1));
        assert!(start.elapsed() <= ms(23), "{:?}", start.elapsed());
        let tried = endpoints.tried(ODD);
        assert!(tried.len() == 2 && tried[0] != tried[1], "{tried:?}");
        assert_eq!(endpoints.in_flight(), [0, 0], "the loser's lease is released");
        assert_eq!(endpoints.results()[tried[0]].failures, 0, "as cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn the_loser_is_dropped_even_if_the_future_is_kept() {
        let endpoints = two(hangs_first).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        let mut call = Box::pin(hedge.ready_oneshot().await.unwrap().call(Attempt::new(ODD)));
        assert_eq!(call.as_mut().await, Ok(1));
        assert_eq!(endpoints.in_flight(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_hedged_before_enough_is_known() {
        let endpoints = two(hangs_first).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 99).await;
        let call = hedge.clone().oneshot(Attempt::new(ODD));
        tokio::time::timeout(ms(1000), call).await.unwrap_err();
        assert_eq!(endpoints.tried(ODD).len(), 1);
        warm(&hedge, 1).await;
        // Its second sending answers, so let that be the hedge.
        let endpoints = two(hangs_first).await;
        let hedge = HedgeLayer::new(OnTransient).min_samples(5).layer(endpoints.attempts());
        warm(&hedge, 5).await;
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn latencies_are_forgotten() {
        let endpoints = two(hangs_first).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        tokio::time::sleep(ms(60_000)).await;
        let call = hedge.oneshot(Attempt::new(ODD));
        tokio::time::timeout(ms(1000), call).await.unwrap_err();
        assert_eq!(endpoints.tried(ODD).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_waits_for_the_hedge() {
        let endpoints = two(|call| async move {
            if call.nth == 0 {
                after(15, Err(Failure("late"))).await
            } else {
                after(10, Ok(1)).await
            }
        });
        let endpoints = endpoints.await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_failure_is_the_answer() {
        let endpoints =
            two(|call| async move { if call.nth == 0 { Err(Failure("early")) } else { Ok(1) } });
        let endpoints = endpoints.await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        let result = hedge.oneshot(Attempt::new(ODD)).await;
        assert_eq!(result, Err(Error::Inner(Failure("early"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_hedge_waits_for_the_first() {
        let endpoints = two(|call| async move {
            if call.nth == 0 { after(100, Ok(0)).await } else { Err(Failure("hedge")) }
        });
        let endpoints = endpoints.await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(0));
        assert_eq!(endpoints.tried(ODD).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hedge_that_is_refused_does_not_end_the_first() {
        const BUSY: u32 = ODD + 1;
        let answer = |call: Call| async move {
            match call.request {
                BUSY => future::pending().await,
                ODD => after(100, Ok(7)).await,
                _ => after(10, Ok(call.endpoint)).await,
            }
        };
        let endpoints = Endpoints::new(2, Algorithm::RoundRobin, answer).await;
        let attempts = endpoints.balance.clone().max_in_flight(1).queue(0).attempts();
        let hedge = Hedge::new(Strict::new(attempts), OnTransient);
        warm(&hedge, 100).await;
        let _busy = tokio::spawn(endpoints.balance.clone().oneshot(BUSY));
        tokio::time::sleep(ms(1)).await;
        let start = TokioInstant::now();
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(7));
        assert_eq!(start.elapsed(), ms(100));
        assert_eq!(endpoints.tried(ODD).len(), 1, "there was no room for a hedge");
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_that_fails_for_good_does_not_end_the_hedge() {
        let never =
            policy_fn(|request: &u32| Some(*request), |_: Result<&usize, &Error<Failure>>| false);
        let endpoints = two(|call| async move {
            if call.nth == 0 {
                after(15, Err(Failure("for good"))).await
            } else {
                after(50, Ok(7)).await
            }
        });
        let endpoints = endpoints.await;
        let hedge = Hedge::new(endpoints.attempts(), never);
        warm(&hedge, 100).await;
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(7));
        assert_eq!(endpoints.tried(ODD).len(), 2);
    }

    /// The first attempt is refused when it has waited for room for 15 ms; by
    /// then its hedge has found some.
    #[tokio::test(start_paused = true)]
    async fn a_first_that_is_refused_does_not_end_the_hedge() {
        let nth = Arc::new(AtomicUsize::new(0));
        let service = service_fn(move |attempt: Attempt<u32>| {
            let nth = (attempt.request == ODD).then(|| nth.fetch_add(1, Ordering::Relaxed));
            let refused = Err::<usize, _>(Error::<Failure>::Overloaded);
            let (millis, result) = match nth {
                None => (10, Ok(0)),
                Some(0) => (15, refused),
                Some(_) => (50, Ok(7)),
            };
            after(millis, result)
        });
        let hedge = Hedge::new(service, OnTransient);
        warm(&hedge, 100).await;
        assert_eq!(hedge.oneshot(Attempt::new(ODD)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_hedge_does_not_hide_why_the_first_failed() {
        let nth = Arc::new(AtomicUsize::new(0));
        let service = service_fn(move |attempt: Attempt<u32>| {
            let nth = (attempt.request == ODD).then(|| nth.fetch_add(1, Ordering::Relaxed));
            let (millis, result) = match nth {
                None => (10, Ok(0)),
                Some(0) => (15, Err(Error::Inner(Failure("late")))),
                // It has waited in the queue for 20 ms.
                Some(_) => (20, Err(Error::Overloaded)),
            };
            after(millis, result)
        });
        let hedge = Hedge::new(service, OnTransient);
        warm(&hedge, 100).await;
        let result = hedge.oneshot(Attempt::new(ODD)).await;
        assert_eq!(result, Err(Error::Inner(Failure("late"))));
    }

    #[tokio::test(start_paused = true)]
    async fn when_both_fail_there_is_an_error() {
        let endpoints = two(|_| after(100, Err(Failure("down")))).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        let start = TokioInstant::now();
        let result = hedge.oneshot(Attempt::new(ODD)).await;
        assert_eq!(result, Err(Error::Inner(Failure("down"))));
        assert!(start.elapsed() > ms(109), "the second one was waited for");
        assert_eq!(endpoints.tried(ODD).len(), 2, "at most one hedge");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_cancels_both() {
        let endpoints = two(|_| future::pending()).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        warm(&hedge, 100).await;
        let mut call = Box::pin(hedge.oneshot(Attempt::new(ODD)));
        tokio::time::timeout(ms(100), &mut call).await.unwrap_err();
        assert_eq!(endpoints.in_flight(), [1, 1]);
        drop(call);
        assert_eq!(endpoints.in_flight(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_policy_decides_what_is_sent_twice() {
        let endpoints = two(hangs_first).await;
        let policy = policy_fn(
            |request: &u32| (*request != ODD).then_some(*request),
            |result: Result<&usize, &Error<Failure>>| result.is_err(),
        );
        let hedge = Hedge::new(endpoints.attempts(), policy);
        warm(&hedge, 100).await;
        let call = hedge.oneshot(Attempt::new(ODD));
        tokio::time::timeout(ms(1000), call).await.unwrap_err();
        assert_eq!(endpoints.tried(ODD).len(), 1);
    }

    /// A cluster that slows down as a whole gets a tenth more load, not twice.
    #[tokio::test(start_paused = true)]
    async fn hedges_stay_within_their_budget() {
        let answer =
            |call: Call| after(if call.request < 200 { 10 } else { 1000 }, Ok(call.endpoint));
        let endpoints = Endpoints::new(3, Algorithm::LeastRequest, answer).await;
        let hedge = Hedge::new(endpoints.attempts(), OnTransient);
        let start = TokioInstant::now();
        warm(&hedge, 200).await;
        let calls: Vec<_> = (200..1200)
            .map(|request| {
                let hedge = hedge.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(ms(u64::from(request - 200))).await;
                    hedge.oneshot(Attempt::new(request)).await.unwrap();
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let calls = endpoints.calls();
        let distinct: HashSet<_> = calls.iter().map(|call| (call.request, call.endpoint)).collect();
        assert_eq!(calls.len(), distinct.len(), "a hedge goes to another endpoint");
        let hedges = calls.len() as f64 - 1200.0;
        let most = 0.1 * 1200.0 + 1.0 + 0.1 * start.elapsed().as_secs_f64();
        assert!((60.0..=most).contains(&hedges), "{hedges} of {most}");
        assert_eq!(endpoints.in_flight(), [0; 3]);
    }

    /// The percentile doesn't sink though the slow attempts are cut short.
    #[tokio::test(start_paused = true)]
    async fn steady_traffic_is_hedged_at_the_percentile() {
        let answer = |call: Call| after(fastrand::u64(10..1010), Ok(call.endpoint));
        let endpoints = Endpoints::new(3, Algorithm::RoundRobin, answer).await;
        fastrand::seed(5);
        let budget = Arc::new(TokenBudget::new(1.0, 1000.0));
        let layer = HedgeLayer::new(OnTransient).budget(budget).period(ms(1_000_000));
        warm(&layer.layer(endpoints.attempts()), 2000).await;
        let hedges = endpoints.calls().len() - 2000;
        assert!((50..=120).contains(&hedges), "{hedges}, where 5 % are 100");
    }
}
