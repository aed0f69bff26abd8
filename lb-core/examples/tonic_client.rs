//! A gRPC client that spreads its calls over several servers. HTTP/2 puts all of
//! them on one connection, so it takes a balancer of calls, below a client that
//! tonic generated. Calls that fail go elsewhere, servers that fail are spared.
//!
//!     cargo run -p lb-core --features http-types --example tonic_client

mod servers;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use lb_core::{
    Balance, EndpointId,
    balance::Algorithm,
    discovery,
    health::Health,
    load::OnBodyEnd,
    resilience::{policy::OnTransient, retry::RetryLayer},
};
use tonic::{body::Body, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder};

/// Makes so many calls to these servers.
pub(crate) async fn run(servers: Vec<Uri>, calls: usize) -> Result<(), BoxError> {
    // One connection for each server, opened when it is needed.
    let connect = |_: &EndpointId, uri: &Uri| {
        ServiceBuilder::new()
            .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
            .service(Channel::builder(uri.clone()).connect_lazy())
    };
    let servers = discovery::fixed(servers);
    let (balance, driver) = Balance::new(servers, connect, Algorithm::LeastRequest);
    tokio::spawn(driver.health(Health::passive()).run());
    // A call ends with its trailers; they belong to the body, and say how it went.
    let service = ServiceBuilder::new()
        .filter_async(keep_body)
        .layer(RetryLayer::new(OnTransient))
        .service(balance.complete_with(OnBodyEnd).attempts());
    let mut client = HealthClient::new(service);
    for _ in 0..calls {
        client.check(HealthCheckRequest::default()).await?;
    }
    Ok(())
}

/// A body can be read once; to be sent again it has to be kept. Not for streams.
async fn keep_body(request: Request<Body>) -> Result<Request<Full<Bytes>>, BoxError> {
    let (head, body) = request.into_parts();
    Ok(Request::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let servers = servers::Servers::start(servers::grpc)?;
    run(servers.urls(), 300).await?;
    println!("{servers}and none of 300 calls was lost");
    Ok(())
}
