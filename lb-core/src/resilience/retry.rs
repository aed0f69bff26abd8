//! Further attempts at a request that failed, each at another endpoint.
//!
//! There is no mode for services that don't take [`Attempt`]s: retrying at one
//! service is what `tower::retry` does, and it takes a [`TokenBudget`], too. It
//! can't tell a balancer which endpoints have failed already.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{self, Sleep};
use tower::Layer;
use tower_service::Service;

use super::{
    budget::{Budget, TokenBudget},
    policy::Policy,
};
use crate::{balance::Attempt, clock};

pub use super::backoff::Backoff;

/// Makes [`Retry`] services that have one budget.
///
/// ```
/// use std::{future, io};
/// use lb_core::{
///     balance::{Algorithm, Balance},
///     discovery,
///     resilience::{policy::OnTransient, retry::RetryLayer},
/// };
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let connect = |_id: &_, name: &&'static str| {
///     let up = *name == "b";
///     service_fn(move |request: u32| {
///         future::ready(if up { Ok(request + 1) } else { Err(io::Error::other("down")) })
///     })
/// };
/// let endpoints = discovery::fixed(["a", "b"]);
/// let (balance, driver) = Balance::new(endpoints, connect, Algorithm::RoundRobin);
/// tokio::spawn(driver.run());
/// let service = RetryLayer::new(OnTransient).max_attempts(2).layer(balance.attempts());
/// for request in 0..4 {
///     assert_eq!(service.clone().oneshot(request).await?, request + 1);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RetryLayer<P> {
    policy: P,
    rules: Rules,
}

#[derive(Clone)]
struct Rules {
    max_attempts: u32,
    backoff: Backoff,
    budget: Arc<dyn Budget + Send + Sync>,
}

impl<P> RetryLayer<P> {
    /// Retries what `policy` allows: 3 attempts, the default [`Backoff`] and a
    /// default [`TokenBudget`], unless set below.
    pub fn new(policy: P) -> Self {
        let budget = Arc::new(TokenBudget::default());
        let rules = Rules { max_attempts: 3, backoff: Backoff::default(), budget };
        Self { policy, rules }
    }

    /// How often a request is sent at most, the first time included. 0 is taken
    /// for 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.rules.max_attempts = attempts;
        self
    }

    /// How long to pause before a retry.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// What retries are paid from, such as a budget shared with others. Every
    /// request deposits, and every retry withdraws.
    #[must_use]
    pub fn budget(mut self, budget: Arc<impl Budget + Send + Sync + 'static>) -> Self {
        self.rules.budget = budget;
        self
    }
}

impl<S, P: Clone> Layer<S> for RetryLayer<P> {
    type Service = Retry<S, P>;

    fn layer(&self, service: S) -> Self::Service {
        Retry { service, shared: Arc::new(self.clone()) }
    }
}

impl<P: fmt::Debug> fmt::Debug for RetryLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("policy", &self.policy)
            .field("max_attempts", &self.rules.max_attempts)
            .field("backoff", &self.rules.backoff)
            .finish_non_exhaustive()
    }
}

/// Turns a request into attempts: as many as it takes, and as
/// [policy](Policy), budget and number allow.
///
/// The answer is that of the last attempt, good or bad. A retry that would begin
/// after the request's [deadline](Policy::deadline) is not made, nor waited for:
/// the failure that is there is the answer. To cut off an attempt that is under
/// way, put a [`DeadlineLayer`](super::deadline::DeadlineLayer) around this. That
/// alone suffices to keep attempts from beginning too late; a policy that knows
/// the deadline spares the wait for it.
///
/// A request that may be repeated costs a copy of it and of the inner service;
/// one that may not, nothing. Nothing is boxed.
pub struct Retry<S, P> {
    service: S,
    shared: Arc<RetryLayer<P>>,
}

impl<S, P> Retry<S, P> {
    /// Retries with the defaults of [`RetryLayer::new`].
    pub fn new(service: S, policy: P) -> Self {
        Self { service, shared: Arc::new(RetryLayer::new(policy)) }
    }
}

impl<S, P, Req> Service<Req> for Retry<S, P>
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

    fn call(&mut self, request: Req) -> Self::Future {
        self.shared.rules.budget.deposit();
        let attempt = Attempt::new(request);
        let Some(next) = self.shared.next(&attempt, 1) else {
            let state = State::Calling { call: self.service.call(attempt) };
            return ResponseFuture { state, again: None };
        };
        let other = self.service.clone();
        let mut service = mem::replace(&mut self.service, other);
        let state = State::Calling { call: service.call(attempt) };
        let shared = Arc::clone(&self.shared);
        ResponseFuture { state, again: Some(Again { service, shared, next: Some(next), made: 1 }) }
    }
}

impl<S: Clone, P> Clone for Retry<S, P> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, P: fmt::Debug> fmt::Debug for Retry<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("service", &self.service)
            .field("layer", &self.shared)
            .finish()
    }
}

pin_project! {
    /// The answer to one request sent through a [`Retry`].
    pub struct ResponseFuture<S, P, Req>
    where
        S: Service<Attempt<Req>>,
    {
        #[pin]
        state: State<S::Future>,
        again: Option<Again<S, P, Req>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] call: F },
        Pausing { #[pin] pause: Sleep },
        Readying,
        Done,
    }
}

/// What further attempts take.
struct Again<S, P, Req> {
    service: S,
    shared: Arc<RetryLayer<P>>,
    next: Option<Attempt<Req>>,
    /// How many attempts have been made.
    made: u32,
}

impl<P> RetryLayer<P> {
    /// What to send should `attempt` fail, which is the `made`th.
    fn next<Req, Res, E>(&self, attempt: &Attempt<Req>, made: u32) -> Option<Attempt<Req>>
    where
        P: Policy<Req, Res, E>,
    {
        if made >= self.rules.max_attempts {
            return None;
        }
        Some(attempt.again(self.policy.clone_request(&attempt.request)?))
    }
}

impl<S, P, Req> Again<S, P, Req>
where
    S: Service<Attempt<Req>>,
    P: Policy<Req, S::Response, S::Error>,
{
    /// How long to pause before the next attempt, if there is to be one.
    fn pause(&self, result: Result<&S::Response, &S::Error>) -> Option<Duration> {
        let RetryLayer { policy, rules } = &*self.shared;
        let next = self.next.as_ref()?;
        if !policy.retryable(result) {
            return None;
        }
        let pause = rules.backoff.pause(self.made);
        let late = |deadline| clock::now().checked_add(pause).is_none_or(|at| at >= deadline);
        if policy.deadline(&next.request).is_some_and(late) {
            return None;
        }
        // Last: what is withdrawn is spent.
        rules.budget.withdraw().then_some(pause)
    }

    fn call(&mut self) -> Option<S::Future> {
        let attempt = self.next.take()?;
        self.made += 1;
        self.next = self.shared.next(&attempt, self.made);
        Some(self.service.call(attempt))
    }
}

impl<S, P, Req> Future for ResponseFuture<S, P, Req>
where
    S: Service<Attempt<Req>>,
    P: Policy<Req, S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { call } => {
                    let result = ready!(call.poll(cx));
                    match this.again.as_ref().and_then(|again| again.pause(result.as_ref())) {
                        None => {
                            this.state.set(State::Done);
                            return Poll::Ready(result);
                        }
                        Some(Duration::ZERO) => State::Readying,
                        Some(pause) => State::Pausing { pause: time::sleep(pause) },
                    }
                }
                StateProj::Pausing { pause } => {
                    ready!(pause.poll(cx));
                    State::Readying
                }
                StateProj::Readying => {
                    let Some(again) = this.again else { return Poll::Pending };
                    ready!(again.service.poll_ready(cx))?;
                    let Some(call) = again.call() else { return Poll::Pending };
                    State::Calling { call }
                }
                StateProj::Done => return Poll::Pending,
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Attempt<Req>>, P, Req> fmt::Debug for ResponseFuture<S, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, future};

    use tokio::time::Instant;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        balance::{Algorithm, Error},
        resilience::{
            deadline::{self, DeadlineLayer},
            policy::{OnTransient, policy_fn},
            test_support::{Call, Endpoints, Failure, is_pending, ms},
        },
    };

    /// Allows whatever is asked.
    fn generous() -> Arc<TokenBudget> {
        Arc::new(TokenBudget::new(1000.0, 1000.0))
    }

    async fn down(call: Call) -> Result<usize, Failure> {
        Err(Failure(if call.endpoint == 0 { "zero is down" } else { "down" }))
    }

    #[tokio::test(start_paused = true)]
    async fn finds_the_only_one_that_answers_and_asks_none_twice() {
        for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequest] {
            for n in 1..=6 {
                for up in 0..n {
                    let answer = move |call: Call| {
                        future::ready(if call.endpoint == up {
                            Ok(up)
                        } else {
                            Err(Failure("down"))
                        })
                    };
                    let endpoints = Endpoints::new(n, algorithm, answer).await;
                    let layer = RetryLayer::new(OnTransient).budget(generous());
                    let layer = layer.max_attempts(u32::try_from(n).unwrap());
                    let retry = layer.layer(endpoints.attempts());
                    for request in 0..20 {
                        assert_eq!(retry.clone().oneshot(request).await, Ok(up));
                        let tried = endpoints.tried(request);
                        let distinct: HashSet<_> = tried.iter().collect();
                        assert_eq!(tried.len(), distinct.len(), "{algorithm:?} {n}: {tried:?}");
                        assert_eq!(tried.last(), Some(&up));
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn begins_anew_when_all_were_tried_and_says_what_went_wrong_last() {
        let endpoints = Endpoints::new(2, Algorithm::RoundRobin, down).await;
        let layer = RetryLayer::new(OnTransient).budget(generous()).max_attempts(5);
        let result = layer.layer(endpoints.attempts()).oneshot(0).await;
        let tried = endpoints.tried(0);
        assert_eq!(tried.len(), 5);
        assert_ne!(tried[0], tried[1]);
        assert_ne!(tried[2], tried[3]);
        let last = Failure(if tried[4] == 0 { "zero is down" } else { "down" });
        assert_eq!(result, Err(Error::Inner(last)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_outage_makes_no_storm() {
        let endpoints = Endpoints::new(3, Algorithm::LeastRequest, down).await;
        let retry = RetryLayer::new(OnTransient).max_attempts(10).layer(endpoints.attempts());
        let start = Instant::now();
        let requests: Vec<_> = (0..2000)
            .map(|request| {
                let retry = retry.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(ms(u64::from(request) * 5)).await;
                    retry.oneshot(request).await.unwrap_err();
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        let attempts = endpoints.calls().len() as f64;
        assert!(attempts <= 1.2 * 2000.0 + 3.0 * (seconds + 10.0), "{attempts} in {seconds} s");
        assert!(attempts >= 1.15 * 2000.0, "{attempts}: what may be spent is");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_of_one_layer_share_its_budget() {
        let endpoints = Endpoints::new(3, Algorithm::RoundRobin, down).await;
        let budget = Arc::new(TokenBudget::new(1.0, 0.0));
        let layer = RetryLayer::new(OnTransient).budget(Arc::clone(&budget));
        layer.layer(endpoints.attempts()).oneshot(0).await.unwrap_err();
        assert_eq!(endpoints.tried(0).len(), 2, "one token, one retry");
        budget.deposit();
        layer.layer(endpoints.attempts()).oneshot(1).await.unwrap_err();
        assert_eq!(endpoints.tried(1).len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_policy_decides_what_is_sent_again() {
        let answer = |call: Call| {
            future::ready(if call.request < 10 { Ok(call.endpoint) } else { Err(Failure("down")) })
        };
        let endpoints = Endpoints::new(3, Algorithm::RoundRobin, answer).await;
        let policy = policy_fn(
            |request: &u32| request.is_multiple_of(2).then_some(*request),
            |result: Result<&usize, &Error<Failure>>| result.is_ok(),
        );
        let retry = RetryLayer::new(policy).budget(generous()).layer(endpoints.attempts());
        for (request, attempts) in [(2, 3), (3, 1), (12, 1), (13, 1)] {
            let _ = retry.clone().oneshot(request).await;
            assert_eq!(endpoints.tried(request).len(), attempts, "request {request}");
        }
        let once = RetryLayer::new(OnTransient).budget(generous()).max_attempts(0);
        once.layer(endpoints.attempts()).oneshot(14).await.unwrap_err();
        assert_eq!(endpoints.tried(14).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_retry_goes_at_once_and_the_others_pause() {
        fastrand::seed(7);
        let endpoints = Endpoints::new(5, Algorithm::RoundRobin, down).await;
        let layer = RetryLayer::new(OnTransient).budget(generous()).max_attempts(5);
        layer.layer(endpoints.attempts()).oneshot(0).await.unwrap_err();
        let at: Vec<_> = endpoints.calls().iter().map(|call| call.at).collect();
        let pauses: Vec<_> = at.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses[0], ms(0));
        // Timers are up to a millisecond late.
        for (pause, most) in pauses[1..].iter().zip([26, 51, 101]) {
            assert!(*pause > ms(0) && *pause <= ms(most), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_nothing_behind() {
        let hangs = |call: Call| async move {
            if call.request == 0 { future::pending().await } else { down(call).await }
        };
        let endpoints = Endpoints::new(2, Algorithm::RoundRobin, hangs).await;
        let backoff = Backoff::new(ms(1000), ms(1000)).before_first();
        let layer = RetryLayer::new(OnTransient).budget(generous()).backoff(backoff);
        let retry = layer.layer(endpoints.attempts());
        let within = tokio::time::timeout(ms(1), retry.clone().oneshot(0));
        within.await.unwrap_err();
        assert_eq!(endpoints.in_flight(), [0, 0]);
        let mut pausing = Box::pin(retry.oneshot(1));
        assert!(is_pending(&mut pausing));
        assert_eq!(endpoints.calls().len(), 2);
        assert_eq!(endpoints.in_flight(), [0, 0], "while it pauses nothing is in flight");
    }

    #[derive(Clone, Copy)]
    struct Knows;

    impl Policy<u32, usize, Error<Failure>> for Knows {
        fn clone_request(&self, request: &u32) -> Option<u32> {
            Some(*request)
        }

        fn retryable(&self, result: Result<&usize, &Error<Failure>>) -> bool {
            result.is_err()
        }

        /// The request is the number of milliseconds it has from now.
        fn deadline(&self, request: &u32) -> Option<std::time::Instant> {
            Some(clock::now() + ms((*request).into()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_retry_begins_at_its_deadline_or_later() {
        let endpoints = Endpoints::new(3, Algorithm::RoundRobin, down).await;
        let layer = RetryLayer::new(Knows).budget(generous());
        let start = Instant::now();
        layer.layer(endpoints.attempts()).oneshot(0).await.unwrap_err();
        assert_eq!(endpoints.tried(0).len(), 1, "it has passed");
        // The shortest of a thousand pauses of up to 1000 s is not 1 ms.
        let backoff = Backoff::new(ms(1_000_000), ms(1_000_000));
        let layer = layer.backoff(backoff);
        fastrand::seed(3);
        layer.layer(endpoints.attempts()).oneshot(1).await.unwrap_err();
        assert_eq!(endpoints.tried(1).len(), 2, "one at once, and none after a pause");
        assert_eq!(start.elapsed(), ms(0), "nor is it waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_around_it_ends_pauses_and_attempts() {
        let slow = |call| async move {
            tokio::time::sleep(ms(40)).await;
            down(call).await
        };
        let endpoints = Endpoints::new(5, Algorithm::RoundRobin, slow).await;
        let layer = RetryLayer::new(OnTransient).budget(generous()).max_attempts(5);
        let layer = layer.backoff(Backoff::new(ms(0), ms(0)));
        let retry = layer.layer(endpoints.attempts());
        let service = DeadlineLayer::new().at_most(ms(100)).layer(retry);
        let start = Instant::now();
        assert_eq!(service.oneshot(0).await, Err(deadline::Error::DeadlineExceeded));
        assert_eq!(start.elapsed(), ms(100));
        assert_eq!(endpoints.calls().len(), 3);
        assert_eq!(endpoints.in_flight(), [0; 5]);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(endpoints.calls().len(), 3, "and none later");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_below_it_ends_an_attempt() {
        let answer = |call: Call| async move {
            if call.endpoint == 0 { future::pending().await } else { Ok(call.endpoint) }
        };
        let endpoints = Endpoints::new(2, Algorithm::RoundRobin, answer).await;
        let attempts = DeadlineLayer::new().at_most(ms(100)).layer(endpoints.attempts());
        let retry = RetryLayer::new(OnTransient).layer(attempts);
        for request in 0..4 {
            assert_eq!(retry.clone().oneshot(request).await, Ok(1));
        }
        assert!(endpoints.calls().len() > 4);
        assert_eq!(endpoints.in_flight(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn tower_s_budget_does_too() {
        let endpoints = Endpoints::new(3, Algorithm::RoundRobin, down).await;
        let budget = tower::retry::budget::TpsBudget::new(Duration::from_secs(1), 1, 0.0);
        let layer = RetryLayer::new(OnTransient).budget(Arc::new(budget));
        layer.layer(endpoints.attempts()).oneshot(0).await.unwrap_err();
        assert_eq!(endpoints.calls().len(), 2);
    }
}
