use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
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

/// A service whose answers ask for the end of their connection once the worker is
/// about to end.
#[derive(Clone)]
pub(super) struct Closing<S>(pub(super) S);

impl<S: HttpService> Service<Request<Incoming>> for Closing<S> {
    type Response = Response<S::Body>;
    type Error = S::Failure;
    type Future = Answer<S::Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Failure>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Answer { answer: self.0.call(request) }
    }
}

pin_project! {
    pub(super) struct Answer<F> {
        #[pin]
        answer: F,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut answer = ready!(self.project().answer.poll(cx));
        if LEAVING.get()
            && let Ok(response) = &mut answer
            // That header says something else there, and there is no next request.
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(answer)
    }
}
