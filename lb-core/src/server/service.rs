use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a [`Server`](super::Server) can serve: every tower service from requests
/// to answers whose parts may be sent between threads. There is nothing to
/// implement.
pub trait HttpService:
    Service<
        Request<Incoming>,
        Response = Response<Self::Body>,
        Error = Self::Failure,
        Future = Self::Answer,
    > + Clone
    + Send
    + 'static
{
    /// The body of an answer.
    type Body: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
    /// Why there is no answer: the connection is closed.
    type Failure: Into<BoxError>;
    /// An answer to come.
    type Answer: Future<Output = Result<Response<Self::Body>, Self::Failure>> + Send;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Failure = S::Error;
    type Answer = S::Future;
}

thread_local! {
    /// Whether the worker of this thread is about to end. All that it serves runs
    /// on its own thread, so looking at this shares nothing.
    static LEAVING: Cell<bool> = const { Cell::new(false) };
}

/// From now on the answers of this thread's worker are the last ones of their
/// connections.
pub(super) fn leave() {
    LEAVING.set(true);
}

/// The requests of a connection of HTTP/2 that its client has given up before there
/// was an answer. Each costs us and a server about as much as one that is answered,
/// and the client next to nothing (CVE-2023-44487).
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Those, less the ones that were answered.
    surplus: AtomicI64,
    too_many: Notify,
}

/// More than a page that is left, or a client that is impatient for once.
const MOST_GIVEN_UP: i64 = 256;

impl GivenUp {
    /// Ends when there are many, and more than were answered.
    pub(super) async fn too_many(&self) {
        self.too_many.notified().await;
    }

    fn ended(&self, is_answered: bool) {
        if is_answered {
            self.surplus.fetch_sub(1, Ordering::Relaxed);
        } else if self.surplus.fetch_add(1, Ordering::Relaxed) >= MOST_GIVEN_UP {
            self.too_many.notify_one();
        }
    }
}

/// A service whose answers ask for the end of their connection once the worker is
/// about to end, or when the connection has had its share of requests. Its clones
/// serve the same connection.
#[derive(Clone)]
pub(super) struct Closing<S> {
    service: S,
    left: Option<Arc<AtomicU64>>,
    given_up: Option<Arc<GivenUp>>,
}

impl<S> Closing<S> {
    /// At most so many `requests` are served, if there is a limit.
    pub(super) fn http1(service: S, requests: Option<u64>) -> Self {
        let left = requests.map(|requests| Arc::new(requests.into()));
        Self { service, left, given_up: None }
    }

    /// Counts the requests that are given up.
    pub(super) fn http2(service: S, given_up: &Arc<GivenUp>) -> Self {
        Self { service, left: None, given_up: Some(Arc::clone(given_up)) }
    }
}

impl<S: HttpService> Service<Request<Incoming>> for Closing<S> {
    type Response = Response<S::Body>;
    type Error = S::Failure;
    type Future = Answer<S::Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Failure>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        // HTTP/2 has other words for it.
        let may_close = request.version() < Version::HTTP_2;
        let is_last =
            self.left.as_ref().is_some_and(|left| left.fetch_sub(1, Ordering::Relaxed) <= 1);
        let given_up = self.given_up.clone();
        Answer { answer: self.service.call(request), may_close, is_last, given_up }
    }
}

pin_project! {
    pub(super) struct Answer<F> {
        #[pin]
        answer: F,
        may_close: bool,
        is_last: bool,
        // Until there is an answer.
        given_up: Option<Arc<GivenUp>>,
    }

    impl<F> PinnedDrop for Answer<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(given_up) = this.project().given_up.take() {
                given_up.ended(false);
            }
        }
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let Some(given_up) = this.given_up.take() {
            given_up.ended(true);
        }
        if *this.may_close
            && (*this.is_last || LEAVING.get())
            && let Ok(response) = &mut answer
            // That header says something else there, and there is no next request.
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(answer)
    }
}
