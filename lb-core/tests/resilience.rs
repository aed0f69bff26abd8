//! The layers of `resilience` on top of each other, around a real `Balance`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    future, io,
    sync::Arc,
    time::{Duration, Instant},
};

use lb_core::{
    Balance, EndpointId,
    balance::{self, Algorithm, Attempts},
    discovery,
    health::Health,
    resilience::{
        budget::TokenBudget,
        deadline::{self, DeadlineLayer, Malformed, Timed},
        failfast::FailFast,
        hedge::{Hedge, HedgeLayer},
        limit::{self, Limit, LimitLayer},
        policy::OnTransient,
        retry::{Retry, RetryLayer},
    },
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};

#[derive(Clone, Copy, Debug)]
struct Call {
    does: Does,
    deadline: Option<Instant>,
}

/// What an endpoint does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Answer,
    Hang,
    /// All but the last endpoint are broken.
    Break,
}

impl Timed for Call {
    fn deadline(&self) -> Result<Option<Instant>, Malformed> {
        Ok(self.deadline)
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }
}

const LAST: usize = 2;

type Endpoint = BoxCloneSyncService<Call, usize, limit::Error<io::Error>>;

/// Three endpoints that take 10 ms to answer, and one call at a time.
async fn three() -> Balance<Endpoint> {
    let connect = |_: &EndpointId, endpoint: &usize| {
        let endpoint = *endpoint;
        let service = service_fn(move |call: Call| async move {
            assert!(call.deadline.is_some(), "the deadline comes through");
            match call.does {
                Does::Hang => future::pending().await,
                Does::Break if endpoint != LAST => Err(io::Error::other("broken")),
                Does::Answer | Does::Break => {
                    tokio::time::sleep(ms(10)).await;
                    Ok(endpoint)
                }
            }
        });
        let layers =
            ServiceBuilder::new().layer(LimitLayer::new(1, 0)).map_request(deadline::renew);
        Endpoint::new(layers.service(service))
    };
    let (balance, driver) =
        Balance::new(discovery::fixed(0..=LAST), connect, Algorithm::RoundRobin);
    driver.run().await;
    balance
}

type Stack = deadline::WithDeadline<Retry<Hedge<Attempts<Endpoint>, OnTransient>, OnTransient>>;

fn stack(balance: &Balance<Endpoint>) -> Stack {
    let budget = Arc::new(TokenBudget::new(1.0, 10.0));
    let retry = RetryLayer::new(OnTransient).budget(Arc::clone(&budget)).layer(
        HedgeLayer::new(OnTransient)
            .budget(budget)
            .min_samples(10)
            .layer(balance.clone().attempts()),
    );
    DeadlineLayer::new().at_most(ms(1000)).layer(retry)
}

fn call(does: Does) -> Call {
    Call { does, deadline: None }
}

fn in_flight(balance: &Balance<Endpoint>) -> usize {
    balance.cluster().unwrap().members().iter().map(|member| member.load.in_flight()).sum()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_is_found_a_better_place() {
    let stack = stack(&three().await);
    for _ in 0..20 {
        assert_eq!(stack.clone().oneshot(call(Does::Break)).await.unwrap(), LAST);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_by_a_full_endpoint_is_sent_elsewhere() {
    let balance = three().await;
    let stack = stack(&balance);
    let mut hanging = Box::pin(stack.clone().oneshot(call(Does::Hang)));
    tokio::time::timeout(ms(1), &mut hanging).await.unwrap_err();
    for _ in 0..20 {
        stack.clone().oneshot(call(Does::Answer)).await.unwrap();
    }
    let refused: u64 =
        balance.cluster().unwrap().members().iter().map(|m| m.load.results().failures).sum();
    assert!(refused > 0, "a third of the calls went to the full one first");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_cancels_everything() {
    let balance = three().await;
    let stack = stack(&balance);
    for _ in 0..10 {
        stack.clone().oneshot(call(Does::Answer)).await.unwrap();
    }
    let mut hanging = Box::pin(stack.clone().oneshot(call(Does::Hang)));
    tokio::time::timeout(ms(100), &mut hanging).await.unwrap_err();
    assert_eq!(in_flight(&balance), 2, "an attempt and its hedge");
    drop(hanging);
    assert_eq!(in_flight(&balance), 0);
    for _ in 0..3 {
        stack.clone().oneshot(call(Does::Answer)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_everything_and_errors_say_where_they_came_from() {
    let balance = three().await;
    let stack = stack(&balance);
    let at = tokio::time::Instant::now();
    let error = stack.clone().oneshot(call(Does::Hang)).await.unwrap_err();
    assert!(matches!(error, deadline::Error::DeadlineExceeded), "{error}");
    assert_eq!(at.elapsed(), ms(1000));
    assert_eq!(in_flight(&balance), 0);

    let calls: Vec<_> = (0..=LAST)
        .map(|_| {
            let mut call = Box::pin(stack.clone().oneshot(call(Does::Hang)));
            assert!(futures_util::FutureExt::now_or_never(&mut call).is_none());
            call
        })
        .collect();
    let error = stack.oneshot(call(Does::Answer)).await.unwrap_err();
    let deadline::Error::Inner(balance::Error::Inner(error)) = error else { panic!("{error:?}") };
    assert!(matches!(error, limit::Error::Overloaded), "every endpoint is full");
    drop(calls);
}

/// One of three endpoints never answers. It ends by the limit of each attempt,
/// and the caller's own deadline is never reached.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_ejected() {
    let connect = |_: &EndpointId, endpoint: &usize| {
        let endpoint = *endpoint;
        ServiceBuilder::new().layer(DeadlineLayer::new().at_most(ms(100))).service(service_fn(
            move |_: Call| async move {
                match endpoint {
                    LAST => future::pending().await,
                    _ => {
                        tokio::time::sleep(ms(1)).await;
                        Ok::<_, io::Error>(endpoint)
                    }
                }
            },
        ))
    };
    let (balance, driver) =
        Balance::new(discovery::fixed(0..=LAST), connect, Algorithm::RoundRobin);
    tokio::spawn(driver.health(Health::passive()).run());
    let stack = ServiceBuilder::new()
        .layer(DeadlineLayer::new().at_most(ms(1000)))
        .layer(RetryLayer::new(OnTransient).budget(Arc::new(TokenBudget::new(1.0, 10.0))))
        .service(balance.clone().attempts());
    for _ in 0..30 {
        assert_ne!(stack.clone().oneshot(call(Does::Answer)).await.unwrap(), LAST);
    }
    let cluster = balance.cluster().unwrap();
    let ready: Vec<_> = cluster.members().iter().map(|member| member.load.is_ready()).collect();
    assert_eq!(ready, [true, true, false]);
    assert_eq!(cluster.members()[LAST].load.results().failures, 5, "and no more than it takes");
    let at = tokio::time::Instant::now();
    for _ in 0..30 {
        stack.clone().oneshot(call(Does::Answer)).await.unwrap();
    }
    assert_eq!(at.elapsed(), ms(30), "nobody waits for it any more");
}

#[test]
fn layered_services_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Stack>();
    shared::<Limit<Endpoint>>();
    shared::<FailFast<Endpoint>>();
}

#[cfg(feature = "http-types")]
mod over_http {
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Method, Request, Response, StatusCode};
    use http_body_util::{BodyExt, Full};
    use lb_core::{load::OnBodyEnd, resilience::policy::Idempotent};

    use super::*;

    type Sent = Arc<Mutex<Vec<String>>>;
    type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, io::Error>;

    /// Three endpoints that answer 503 after 200 ms, but for the last one. What
    /// is said of the deadline is what they were told.
    async fn three(told: &Sent) -> Balance<Http, OnBodyEnd> {
        let told = Arc::clone(told);
        let connect = move |_: &EndpointId, endpoint: &usize| {
            let (told, up) = (Arc::clone(&told), *endpoint == LAST);
            let service = service_fn(move |request: Request<Full<Bytes>>| {
                let timeout = request.headers().get("grpc-timeout");
                let timeout = timeout.map_or("none", |value| value.to_str().unwrap());
                told.lock().unwrap().push(timeout.to_owned());
                async move {
                    tokio::time::sleep(ms(200)).await;
                    let mut response = Response::new(Full::<Bytes>::from("body"));
                    if !up {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    Ok::<_, io::Error>(response)
                }
            });
            Http::new(ServiceBuilder::new().map_request(deadline::renew).service(service))
        };
        let (balance, driver) =
            Balance::new(discovery::fixed(0..=LAST), connect, Algorithm::RoundRobin);
        driver.run().await;
        balance.complete_with(OnBodyEnd)
    }

    fn request(method: Method, timeout: Option<&'static str>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        if let Some(timeout) = timeout {
            let headers = request.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            headers.insert("grpc-timeout", timeout.parse().unwrap());
        }
        request
    }

    #[tokio::test(start_paused = true)]
    async fn each_attempt_tells_what_is_left() {
        let told = Sent::default();
        let balance = three(&told).await;
        let budget = Arc::new(TokenBudget::new(10.0, 10.0));
        let retry = RetryLayer::new(Idempotent).budget(budget).layer(balance.clone().attempts());
        let service = DeadlineLayer::new().layer(retry);
        let mut most = 0;
        for _ in 0..10 {
            let response = service.clone().oneshot(request(Method::PUT, Some("90S"))).await;
            assert_eq!(response.unwrap().status(), StatusCode::OK);
            let told = std::mem::take(&mut *told.lock().unwrap());
            let left = told.iter().map(|left| left.strip_suffix('u').unwrap().parse().unwrap());
            let left: Vec<u64> = left.collect();
            assert_eq!(left[0], 90_000_000);
            assert!(left.windows(2).all(|two| two[0] - two[1] >= 200_000), "{left:?}");
            most = most.max(left.len());
        }
        assert_eq!(most, 3);
        let cluster = balance.cluster().unwrap();
        assert!(cluster.members().iter().all(|member| member.load.in_flight() == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_begins_at_the_deadline() {
        let told = Sent::default();
        let retry = Retry::new(three(&told).await.attempts(), Idempotent);
        let service = DeadlineLayer::new().layer(retry);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            // An attempt takes exactly as long.
            let response = service.clone().oneshot(request(Method::PUT, Some("200m"))).await;
            statuses.push(response.unwrap().status().as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 503, 503], "a late failure is better than none");
        assert_eq!(told.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_sent_once_gets_the_answer_as_it_is() {
        let told = Sent::default();
        let service = Retry::new(three(&told).await.attempts(), Idempotent);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let response = service.clone().oneshot(request(Method::POST, None)).await.unwrap();
            statuses.push(response.status().as_u16());
            response.into_body().collect().await.unwrap();
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 503, 503]);
        assert_eq!(*told.lock().unwrap(), ["none"; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_timeout_is_its_caller_s_mistake() {
        let told = Sent::default();
        let service = DeadlineLayer::new().layer(three(&told).await);
        let result = service.oneshot(request(Method::POST, Some("soon"))).await;
        assert!(matches!(result, Err(deadline::Error::Malformed(_))));
        assert!(told.lock().unwrap().is_empty());
    }
}
