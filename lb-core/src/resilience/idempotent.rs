use std::time::Instant;

use http::{Request, Response, StatusCode};
use http_body::Body;

use super::{
    deadline::Timed,
    policy::{Policy, Transient},
};

/// For HTTP: requests of an idempotent method (RFC 9110, 9.2.2) without a body
/// may be repeated, after an answer of 502, 503 or 504 and after every
/// [transient](Transient) error.
///
/// A body that has been read is gone, so a request with one is sent once. The
/// [deadline](Timed) that a request carries is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idempotent;

impl<A, B, E> Policy<Request<A>, Response<B>, E> for Idempotent
where
    A: Body + Default,
    E: Transient,
{
    fn clone_request(&self, request: &Request<A>) -> Option<Request<A>> {
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        repeatable.then(|| {
            let mut copy = Request::new(A::default());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.version_mut() = request.version();
            *copy.headers_mut() = request.headers().clone();
            *copy.extensions_mut() = request.extensions().clone();
            copy
        })
    }

    fn retryable(&self, result: Result<&Response<B>, &E>) -> bool {
        match result {
            Ok(response) => matches!(
                response.status(),
                StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            ),
            Err(error) => error.is_transient(),
        }
    }

    fn deadline(&self, request: &Request<A>) -> Option<Instant> {
        request.deadline().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;
    use http_body_util::Full;

    use super::*;
    use crate::{balance, clock, resilience::deadline::Deadline};

    type Policed = dyn Policy<Request<Full<Bytes>>, Response<()>, balance::Error<()>>;

    const POLICY: &Policed = &Idempotent;

    fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri("/path?query")
            .header("x-kept", "yes")
            .body(Full::from(body))
            .unwrap()
    }

    #[test]
    fn what_changes_something_or_has_a_body_is_sent_once() {
        for (method, repeatable) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::CONNECT, false),
        ] {
            let copy = POLICY.clone_request(&request(method.clone(), ""));
            assert_eq!(copy.is_some(), repeatable, "{method}");
            assert!(POLICY.clone_request(&request(method, "body")).is_none());
        }
    }

    #[test]
    fn a_copy_is_the_whole_request() {
        let mut request = request(Method::GET, "");
        let deadline = clock::now();
        request.extensions_mut().insert(Deadline(deadline));
        let copy = POLICY.clone_request(&request).unwrap();
        assert_eq!(copy.method(), Method::GET);
        assert_eq!(copy.uri(), "/path?query");
        assert_eq!(copy.headers()["x-kept"], "yes");
        assert_eq!(POLICY.deadline(&copy), Some(deadline));
    }

    #[test]
    fn three_statuses_are_worth_another_attempt() {
        let retried = (100..600).filter(|status| {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(*status).unwrap();
            POLICY.retryable(Ok(&response))
        });
        assert_eq!(retried.collect::<Vec<_>>(), [502, 503, 504]);
        assert!(POLICY.retryable(Err(&balance::Error::Inner(()))));
        assert!(!POLICY.retryable(Err(&balance::Error::NoneReady)));
    }
}
