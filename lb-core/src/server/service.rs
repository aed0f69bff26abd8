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

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

#[cfg(all(test, feature = "http"))]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::{Bytes, BytesMut};
    use http_body_util::{BodyExt, Full};
    use hyper::server::conn::http1;
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::service_fn;

    use super::*;
    use crate::server::stream::Stream;

    /// Of a connection that takes less at a time than any of them is long.
    #[tokio::test]
    async fn what_comes_before_an_answer_stands_before_it_and_behind_all_others() {
        const REQUESTS: usize = 10;
        let (mut client, server) = tokio::io::duplex(16);
        let interim = Interim::new();
        let service = service_fn({
            let interim = interim.clone();
            move |_| {
                let informer = interim.informer().unwrap();
                async move {
                    informer.inform(StatusCode::PROCESSING, &http::HeaderMap::new());
                    tokio::task::yield_now().await;
                    informer.inform(StatusCode::EARLY_HINTS, &http::HeaderMap::new());
                    let body = Full::new(Bytes::from_static(&[b'x'; 1000]));
                    Ok::<_, Infallible>(Response::new(body))
                }
            }
        });
        let service = Closing::new(service, Some(REQUESTS as u64), interim.clone());
        let stream = Stream::new(BytesMut::new(), server, Duration::MAX, interim);
        let (service, stream) = (TowerToHyperService::new(service), TokioIo::new(stream));
        let mut builder = http1::Builder::new();
        tokio::spawn(builder.auto_date_header(false).serve_connection(stream, service));
        let asked = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(REQUESTS);
        let (mut read, mut write) = tokio::io::split(&mut client);
        let mut text = String::new();
        let (asked, told) =
            tokio::join!(write.write_all(asked.as_bytes()), read.read_to_string(&mut text));
        asked.unwrap();
        told.unwrap();
        let one = format!(
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}",
            "x".repeat(1000)
        );
        let last = one.replace("\r\ncontent", "\r\nconnection: close\r\ncontent");
        assert_eq!(text, one.repeat(REQUESTS - 1) + &last);
    }

    /// hyper begins with the next request as soon as it has all of the one before, and
    /// doesn't look again whether it may be answered when the answer before has gone out.
    #[tokio::test(start_paused = true)]
    async fn no_request_is_stuck_behind_an_answer_that_goes_out_slowly() {
        const REQUESTS: usize = 10;
        let (mut client, server) = tokio::io::duplex(16);
        let service = service_fn(|request: Request<Incoming>| {
            // Its end comes after the answer has been given to hyper.
            tokio::spawn(request.into_body().collect());
            let body = Full::new(Bytes::from_static(&[b'x'; 1000]));
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let interim = Interim::new();
        let service = Closing::new(service, Some(REQUESTS as u64), interim.clone());
        let stream = Stream::new(BytesMut::new(), server, Duration::MAX, interim);
        let (service, stream) = (TowerToHyperService::new(service), TokioIo::new(stream));
        tokio::spawn(http1::Builder::new().serve_connection(stream, service));
        let asked = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n".to_owned();
        let asked = (asked + &"y".repeat(100)).repeat(REQUESTS);
        let (mut read, mut write) = tokio::io::split(&mut client);
        let mut text = String::new();
        let both = async {
            tokio::join!(write.write_all(asked.as_bytes()), read.read_to_string(&mut text))
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), both).await.is_ok();
        assert_eq!((text.matches("200 OK").count(), in_time), (REQUESTS, true));
    }
}
