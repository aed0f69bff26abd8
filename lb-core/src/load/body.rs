use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::load::TrackCompletion;

use super::{Lease, Outcome};

/// Ends the lease of an HTTP request with the last byte of its answer, and says
/// how it went: give it to
/// [`Balance::complete_with`](crate::Balance::complete_with).
///
/// A status of 500 or more is a failure, and so are the gRPC codes that blame
/// the server: unknown, deadline exceeded, internal, unavailable and data loss.
/// With 429 or 503 a `Retry-After` in seconds is honoured, and gRPC's
/// `grpc-retry-pushback-ms` likewise. A body that breaks off is a failure; one
/// that is dropped before its end is a request cancelled.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnBodyEnd;

impl<B: Body> TrackCompletion<Lease, Response<B>> for OnBodyEnd {
    type Output = Response<LeasedBody<B>>;

    fn track_completion(&self, mut lease: Lease, response: Response<B>) -> Self::Output {
        let outcome = outcome(response.status(), response.headers());
        response.map(|body| {
            if outcome != Outcome::Success || body.is_end_stream() {
                lease.record(outcome);
            } else {
                lease.forget_outcome();
            }
            LeasedBody { lease: (!body.is_end_stream()).then_some(lease), body }
        })
    }
}

/// How a request went whose answer begins with this head.
pub fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    let busy = status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS;
    if busy && let Some(seconds) = number(headers, header::RETRY_AFTER.as_str()) {
        return Outcome::RetryAfter(Duration::from_secs(seconds));
    }
    if status.is_server_error() { Outcome::Failure } else { grpc(headers) }
}

/// How a gRPC call went, by its trailers. What isn't gRPC has none and succeeds.
fn grpc(trailers: &HeaderMap) -> Outcome {
    const UNKNOWN: u64 = 2;
    const DEADLINE_EXCEEDED: u64 = 4;
    const INTERNAL: u64 = 13;
    const UNAVAILABLE: u64 = 14;
    const DATA_LOSS: u64 = 15;
    let Some(status) = number(trailers, "grpc-status") else { return Outcome::Success };
    if let Some(pause) = number(trailers, "grpc-retry-pushback-ms") {
        return Outcome::RetryAfter(Duration::from_millis(pause));
    }
    match status {
        UNKNOWN | DEADLINE_EXCEEDED | INTERNAL | UNAVAILABLE | DATA_LOSS => Outcome::Failure,
        _ => Outcome::Success,
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

pin_project! {
    /// A body that ends the lease of its request with its last frame.
    #[derive(Debug)]
    pub struct LeasedBody<B> {
        #[pin]
        body: B,
        lease: Option<Lease>,
    }
}

impl<B: Body> Body for LeasedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        let outcome = match &frame {
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => Some(grpc(trailers)),
                None => this.body.is_end_stream().then_some(Outcome::Success),
            },
            Some(Err(_)) => Some(Outcome::Failure),
            None => Some(Outcome::Success),
        };
        if let Some(outcome) = outcome
            && let Some(mut lease) = this.lease.take()
        {
            lease.record_first(outcome);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, sync::Arc};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;
    use crate::load::Load;

    fn tracked<B: Body>(load: &Arc<Load>, response: Response<B>) -> Response<LeasedBody<B>> {
        let mut lease = load.lease();
        lease.record(Outcome::Success);
        OnBodyEnd.track_completion(lease, response)
    }

    fn hello() -> Full<Bytes> {
        Full::new(Bytes::from_static(b"hello"))
    }

    fn counts(load: &Load) -> (usize, u64, u64) {
        (load.in_flight(), load.results().successes, load.results().failures)
    }

    #[tokio::test]
    async fn a_lease_ends_with_the_last_frame() {
        let load = Arc::new(Load::new(true));
        let mut response = tracked(&load, Response::new(hello()));
        assert_eq!(counts(&load), (1, 0, 0), "the head alone doesn't end it");
        response.frame().await.unwrap().unwrap();
        assert_eq!(counts(&load), (0, 1, 0));
    }

    #[test]
    fn a_lease_ends_with_an_empty_body_at_once_and_with_a_dropped_one() {
        let load = Arc::new(Load::new(true));
        let empty = tracked(&load, Response::new(Full::<Bytes>::default()));
        assert_eq!(counts(&load), (0, 1, 0));
        let dropped = tracked(&load, Response::new(hello()));
        assert_eq!(counts(&load), (1, 1, 0));
        drop((empty, dropped));
        assert_eq!(counts(&load), (0, 1, 0), "a cancelled one is neither");
    }

    #[tokio::test]
    async fn a_server_error_is_a_failure_however_well_its_body_ends() {
        let load = Arc::new(Load::new(true));
        let mut response = Response::new(hello());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        tracked(&load, response).collect().await.unwrap();
        assert_eq!(counts(&load), (0, 0, 1));
    }

    #[tokio::test]
    async fn grpc_trailers_decide() {
        for (status, expected) in [("0", (0, 1, 0)), ("14", (0, 0, 1)), ("5", (0, 1, 0))] {
            let load = Arc::new(Load::new(true));
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(status),
            )]);
            let frames = VecDeque::from([
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))),
                Ok(Frame::trailers(trailers)),
            ]);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            tracked(&load, Response::new(body)).collect().await.unwrap();
            assert_eq!(counts(&load), expected, "grpc-status {status}");
        }
    }

    #[test]
    fn retry_after_is_read() {
        let response = |status, name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )]);
            outcome(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let seconds = |n| Outcome::RetryAfter(Duration::from_secs(n));
        assert_eq!(response(503, "retry-after", "7"), seconds(7));
        assert_eq!(response(429, "retry-after", "7"), seconds(7));
        assert_eq!(response(503, "retry-after", "soon"), Outcome::Failure);
        assert_eq!(response(301, "retry-after", "7"), Outcome::Success);
    }
}
