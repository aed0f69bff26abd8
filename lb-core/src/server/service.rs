use std::future::Future;

use http::{Request, Response};
use hyper::body::Incoming;
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
