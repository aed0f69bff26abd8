use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Interim;

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

/// A service of HTTP/1 whose answers ask for the end of their connection once the
/// worker is about to end, or when the connection has had its share of requests; and
/// wait for those before them. Its clones serve the same connection.
#[derive(Clone)]
pub(super) struct Closing<S> {
    service: S,
    left: Option<Arc<AtomicU64>>,
    interim: Interim,
}

impl<S> Closing<S> {
    /// At most so many `requests` are served, if there is a limit.
    pub(super) fn new(service: S, requests: Option<u64>, interim: Interim) -> Self {
        Self { service, left: requests.map(|requests| Arc::new(requests.into())), interim }
    }
}

impl<S: HttpService> Service<Request<Incoming>> for Closing<S> {
    type Response = Response<S::Body>;
    type Error = S::Failure;
    type Future = Answer<S::Answer, S::Body>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Failure>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let is_last =
            self.left.as_ref().is_some_and(|left| left.fetch_sub(1, Ordering::Relaxed) <= 1);
        // Who speaks HTTP/1.0 doesn't know them (RFC 9110, section 15.2).
        self.interim.begin(request.version() == Version::HTTP_11);
        let interim = self.interim.clone();
        Answer { answer: self.service.call(request), held: None, is_last, interim }
    }
}

pin_project! {
    pub(super) struct Answer<F, B> {
        #[pin]
        answer: F,
        // It is there, and those before it have not gone out.
        held: Option<Box<Response<B>>>,
        is_last: bool,
        interim: Interim,
    }
}

impl<F, B, E> Future for Answer<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = match this.held.take() {
            Some(held) => *held,
            None => match this.answer.poll(cx) {
                Poll::Ready(answer) => answer?,
                Poll::Pending => {
                    this.interim.listen(cx.waker());
                    return Poll::Pending;
                }
            },
        };
        if !this.interim.end(cx.waker()) {
            *this.held = Some(Box::new(response));
            return Poll::Pending;
        }
        if (*this.is_last || LEAVING.get())
            // That header says something else there, and there is no next request.
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
