//! When an answer is of no use any more: cut off here, and passed on to whoever
//! is called next.
//!
//! `tower::timeout` gives every request the same time, whatever its caller has
//! left, and the next hop never hears of it: it goes on working on what nobody
//! waits for.

use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::time::{self, Sleep};
use tower::Layer;
use tower_service::Service;

use crate::{balance::Attempt, clock};

/// The moment from which on the answer to a request is of no use.
///
/// With the feature `http-types`, this is what stands in the extensions of an
/// HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// Requests that carry a deadline.
///
/// With the feature `http-types`, HTTP requests do. In this process the
/// [`Deadline`] in their extensions counts. Between processes gRPC requests,
/// which have a `content-type` of `application/grpc…`, carry `grpc-timeout`:
/// what is left. It is read where no extension says otherwise, and rewritten
/// whenever a deadline is set. Other HTTP requests have no header for it.
pub trait Timed {
    /// The deadline, if there is one, or what can't be read as one.
    fn deadline(&self) -> Result<Option<Instant>, Malformed>;

    /// Sets the deadline. Where what is left travels with the request, it is
    /// counted from now.
    fn set_deadline(&mut self, deadline: Instant);
}

impl<Req: Timed> Timed for Attempt<Req> {
    fn deadline(&self) -> Result<Option<Instant>, Malformed> {
        self.request.deadline()
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.request.set_deadline(deadline);
    }
}

/// Sets the deadline that a request has once more, so that the next hop is told
/// what is left now, after queues and earlier attempts.
///
/// Give it to `tower::util::MapRequestLayer` close to the wire, in the service
/// of each endpoint. A deadline that can't be read is left as it is.
pub fn renew<Req: Timed>(mut request: Req) -> Req {
    if let Ok(Some(deadline)) = request.deadline() {
        request.set_deadline(deadline);
    }
    request
}

/// Makes [`WithDeadline`] services.
///
/// ```
/// use std::{convert::Infallible, time::{Duration, Instant}};
/// use lb_core::resilience::deadline::{DeadlineLayer, Error, Malformed, Timed};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// struct Call { deadline: Option<Instant> }
///
/// impl Timed for Call {
///     fn deadline(&self) -> Result<Option<Instant>, Malformed> { Ok(self.deadline) }
///     fn set_deadline(&mut self, deadline: Instant) { self.deadline = Some(deadline) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let hangs = service_fn(|call: Call| async move {
///     assert!(call.deadline.is_some());
///     std::future::pending::<Result<(), Infallible>>().await
/// });
/// let service = DeadlineLayer::new().at_most(Duration::from_millis(5)).layer(hangs);
/// let result = service.oneshot(Call { deadline: None }).await;
/// assert!(matches!(result, Err(Error::DeadlineExceeded)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer {
    most: Option<Duration>,
}

impl DeadlineLayer {
    /// Holds requests to the deadlines they carry. Those without have none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives every request this much time from here, or what it carries if that
    /// is less.
    ///
    /// As the limit of one attempt it belongs into the service of each endpoint,
    /// which a balance's `connect` makes: there its end is an error of the
    /// endpoint, from which [outlier ejection](crate::health) learns that it
    /// hangs. Above the balance a call that is cut off counts as cancelled.
    #[must_use]
    pub fn at_most(mut self, most: Duration) -> Self {
        self.most = Some(most);
        self
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, service: S) -> Self::Service {
        WithDeadline { service, most: self.most }
    }
}

/// Cuts off what takes longer than it may.
///
/// A request whose deadline has passed is not sent. A call that is cut off is
/// dropped at once, and what was leased for it counts as cancelled. The time
/// ends with the response: a body that streams on is not watched. Nor is the
/// time before the call, in `poll_ready`, when there is no request yet; a
/// [`Balance`](crate::Balance) doesn't wait there.
#[derive(Clone, Debug)]
pub struct WithDeadline<S> {
    service: S,
    most: Option<Duration>,
}

impl<S, Req> Service<Req> for WithDeadline<S>
where
    S: Service<Req>,
    Req: Timed,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let now = clock::now();
        let carried = match request.deadline() {
            Ok(carried) => carried,
            Err(malformed) => return ResponseFuture::refused(Refusal::Malformed(malformed)),
        };
        let own = self.most.and_then(|most| now.checked_add(most));
        // `None` is less than any time, and here it means for ever.
        let Some(deadline) = [carried, own].into_iter().flatten().min() else {
            return ResponseFuture::running(self.service.call(request), None);
        };
        if deadline <= now {
            return ResponseFuture::refused(Refusal::Late);
        }
        request.set_deadline(deadline);
        let end = time::sleep_until(deadline.into());
        ResponseFuture::running(self.service.call(request), Some(end))
    }
}

/// Why a request got no answer from a [`WithDeadline`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The deadline has passed.
    DeadlineExceeded,
    /// The request carries something that is no deadline: a mistake of its
    /// caller. It was not sent.
    Malformed(Malformed),
    /// The service answered with an error.
    Inner(E),
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadlineExceeded => "the deadline has passed",
            Self::Malformed(_) => "the request's deadline can't be read",
            Self::Inner(_) => "the service failed",
        })
    }
}

impl<E: error::Error + 'static> error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::DeadlineExceeded => None,
            Self::Malformed(malformed) => Some(malformed),
            Self::Inner(error) => Some(error),
        }
    }
}

/// Something that was to be a deadline and can't be read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl Malformed {
    /// `name`, a header or a field, had this value where something else was
    /// expected.
    pub fn new(name: &'static str, value: impl Into<String>, expected: &'static str) -> Self {
        Self { name, value: value.into(), expected }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, expected } = self;
        write!(f, "{name} is {value:?}, expected {expected}")
    }
}

impl error::Error for Malformed {}

pin_project! {
    /// The answer to one request sent through a [`WithDeadline`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Running { #[pin] call: F, #[pin] end: Option<Sleep> },
        Refused { refusal: Option<Refusal> },
    }
}

#[derive(Debug)]
enum Refusal {
    Late,
    Malformed(Malformed),
}

impl<F> ResponseFuture<F> {
    fn running(call: F, end: Option<Sleep>) -> Self {
        Self { state: State::Running { call, end } }
    }

    fn refused(refusal: Refusal) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = match state.as_mut().project() {
            StateProj::Running { call, end } => match (call.poll(cx), end.as_pin_mut()) {
                (Poll::Ready(result), _) => result.map_err(Error::Inner),
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Pending, Some(end)) => {
                    ready!(end.poll(cx));
                    Err(Error::DeadlineExceeded)
                }
            },
            StateProj::Refused { refusal } => Err(match refusal.take() {
                Some(Refusal::Late) => Error::DeadlineExceeded,
                Some(Refusal::Malformed(malformed)) => Error::Malformed(malformed),
                None => return Poll::Pending,
            }),
        };
        // Whoever keeps this future must not keep the call.
        state.set(State::Refused { refusal: None });
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use std::{future, sync::Mutex};

    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{
        balance::Algorithm,
        resilience::test_support::{Endpoints, Strict, ms},
    };

    #[derive(Clone, Debug, PartialEq)]
    enum Call {
        Without,
        Until(Instant),
        Malformed,
    }

    impl Timed for Call {
        fn deadline(&self) -> Result<Option<Instant>, Malformed> {
            match self {
                Self::Without => Ok(None),
                Self::Until(deadline) => Ok(Some(*deadline)),
                Self::Malformed => Err(Malformed::new("until", "soon", "a moment")),
            }
        }

        fn set_deadline(&mut self, deadline: Instant) {
            *self = Self::Until(deadline);
        }
    }

    /// Sends `call` to what never answers: what that was sent, the result, and
    /// how long it took.
    async fn send(
        layer: DeadlineLayer,
        call: Call,
    ) -> (Option<Call>, Result<(), Error<()>>, Duration) {
        let sent = Mutex::new(None);
        let hangs = service_fn(|call: Call| {
            *sent.lock().unwrap() = Some(call);
            future::pending::<Result<(), ()>>()
        });
        let start = tokio::time::Instant::now();
        let result = layer.layer(Strict::new(hangs)).oneshot(call).await;
        let took = start.elapsed();
        (sent.into_inner().unwrap(), result, took)
    }

    #[tokio::test(start_paused = true)]
    async fn the_smaller_one_counts_and_is_passed_on() {
        let at = |n| clock::now() + ms(n);
        let layer = DeadlineLayer::new().at_most(ms(100));
        for (carried, effective) in [(Some(30), 30), (Some(300), 100), (None, 100)] {
            let call = carried.map_or(Call::Without, |n| Call::Until(at(n)));
            let expected = Call::Until(at(effective));
            let (sent, result, took) = send(layer, call).await;
            assert_eq!(sent, Some(expected));
            assert_eq!(result, Err(Error::DeadlineExceeded));
            assert_eq!(took, ms(effective));
        }
        let (_, _, took) = send(DeadlineLayer::new(), Call::Until(at(30))).await;
        assert_eq!(took, ms(30), "without one of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_it_waits() {
        let layer = DeadlineLayer::new();
        let waits = send(layer, Call::Without);
        tokio::time::timeout(ms(1_000_000), waits).await.unwrap_err();
        let waits = send(layer.at_most(Duration::MAX), Call::Without);
        tokio::time::timeout(ms(1_000_000), waits).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_or_malformed_is_not_sent() {
        let layer = DeadlineLayer::new().at_most(ms(100));
        let (sent, result, _) = send(layer, Call::Until(clock::now())).await;
        assert_eq!((sent, result), (None, Err(Error::DeadlineExceeded)));
        let (sent, result, _) = send(layer, Call::Malformed).await;
        assert_eq!(sent, None);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Malformed(_)));
        let Error::Malformed(malformed) = error else { unreachable!() };
        assert_eq!(malformed.to_string(), r#"until is "soon", expected a moment"#);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_errors_pass() {
        let echo = service_fn(|call: Call| {
            future::ready(if call == Call::Without { Err("none") } else { Ok(call) })
        });
        let call = Call::Until(clock::now() + ms(1));
        let service = DeadlineLayer::new().layer(echo);
        assert_eq!(service.clone().oneshot(call.clone()).await, Ok(call));
        assert_eq!(service.oneshot(Call::Without).await, Err(Error::Inner("none")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cut_off_counts_as_cancelled() {
        let endpoints = Endpoints::new(1, Algorithm::RoundRobin, |_| future::pending()).await;
        let service = DeadlineLayer::new().at_most(ms(100)).layer(endpoints.balance.clone());
        let mut call = Box::pin(service.ready_oneshot().await.unwrap().call(0));
        assert_eq!(call.as_mut().await, Err(Error::DeadlineExceeded));
        assert_eq!(endpoints.in_flight(), [0], "even while the future is kept");
        let results = endpoints.results()[0];
        assert_eq!((results.successes, results.failures), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_has_the_deadline_of_its_request() {
        let deadline = clock::now() + ms(100);
        let mut attempt = Attempt::new(Call::Without);
        assert_eq!(attempt.deadline(), Ok(None));
        attempt.set_deadline(deadline);
        assert_eq!(attempt.request, Call::Until(deadline));
        assert_eq!(renew(attempt).deadline(), Ok(Some(deadline)));
        assert_eq!(renew(Call::Malformed), Call::Malformed);
    }
}
