//! A web service that balances the calls it makes itself: a backend that dies
//! costs no visitor an answer, and none waits for longer than a second.
//!
//!     cargo run -p lb-core --features http-types --example axum_service

mod servers;

use axum::{Router, body::Body, extract::State, routing::get};
use http::{Request, Response, StatusCode, Uri};
use hyper_util::{client::legacy, rt::TokioExecutor};
use lb_core::resilience::deadline::{self, DeadlineLayer, Error as Late};
use lb_core::resilience::{policy::Idempotent, retry::RetryLayer};
use lb_core::{Balance, EndpointId, balance, discovery, health::Health, load::OnBodyEnd};
use std::time::Duration;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

type Error = deadline::Error<balance::Error<Late<legacy::Error>>>;
type Backends = BoxCloneSyncService<Request<Body>, Response<Body>, Error>;

/// The service, in front of these backends.
pub(crate) fn service(backends: Vec<Uri>) -> Router {
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let connect = move |_: &EndpointId, backend: &Uri| {
        let backend = backend.clone();
        let to_backend = move |mut request: Request<Body>| {
            *request.uri_mut() = backend.clone();
            request
        };
        // In here a backend that hangs has failed, and is ejected.
        let attempt = DeadlineLayer::new().at_most(Duration::from_millis(400));
        ServiceBuilder::new().layer(attempt).map_request(to_backend).service(client.clone())
    };
    let backends = discovery::fixed(backends);
    let (balance, driver) = Balance::new(backends, connect, balance::Algorithm::RoundRobin);
    tokio::spawn(driver.health(Health::passive()).run());
    let backends = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(DeadlineLayer::new().at_most(Duration::from_secs(1)))
        .layer(RetryLayer::new(Idempotent))
        .service(balance.complete_with(OnBodyEnd).attempts());
    Router::new().route("/", get(front)).with_state(Backends::new(backends))
}

async fn front(State(backends): State<Backends>) -> Result<Response<Body>, StatusCode> {
    backends.oneshot(Request::default()).await.map_err(|error| match error {
        Error::DeadlineExceeded | Error::Inner(balance::Error::Inner(Late::DeadlineExceeded)) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        _ => StatusCode::BAD_GATEWAY,
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let backends = servers::Servers::start(servers::http)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("try this a few times: curl http://{}", listener.local_addr()?);
    axum::serve(listener, service(backends.urls())).await
}
