//! An HTTP client, reqwest, over several servers: each request goes to the next
//! of them, what one that dies has not answered to another, and no more to it.
//!
//!     cargo run -p lb-core --features http-types --example reqwest_client

mod servers;

use lb_core::{
    Balance, EndpointId,
    balance::{self, Algorithm},
    discovery,
    health::Health,
    load::OnBodyEnd,
    resilience::{policy::policy_fn, retry::RetryLayer},
};
use reqwest::{Body, Client, Method, Request, Response, Url};
use tower::{BoxError, ServiceBuilder, ServiceExt};

/// Sends so many requests to these servers.
pub(crate) async fn run(servers: Vec<Url>, requests: usize) -> Result<(), BoxError> {
    let client = Client::new();
    let connect = move |_: &EndpointId, server: &Url| {
        let server = server.clone();
        let to_server = move |mut request: Request| {
            let _ = request.url_mut().set_host(server.host_str());
            let _ = request.url_mut().set_port(server.port());
            request
        };
        let service = ServiceBuilder::new().map_request(to_server).service(client.clone());
        service.map_response(http::Response::from)
    };
    let servers = discovery::fixed(servers);
    let (balance, driver) = Balance::new(servers, connect, Algorithm::RoundRobin);
    tokio::spawn(driver.health(Health::passive()).run());

    let repeat = policy_fn(
        |request: &Request| request.try_clone().filter(|it| it.method() == Method::GET),
        |result: Result<&_, &_>| matches!(result, Err(balance::Error::Inner(_))),
    );
    let service = ServiceBuilder::new()
        .map_response(|response: http::Response<_>| Response::from(response.map(Body::wrap)))
        .layer(RetryLayer::new(repeat))
        .service(balance.complete_with(OnBodyEnd).attempts());
    for _ in 0..requests {
        let request = Request::new(Method::GET, "http://any-of-them/greeting".parse()?);
        let response = service.clone().oneshot(request).await?;
        response.error_for_status()?.text().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let servers = servers::Servers::start(servers::http)?;
    run(servers.urls(), 300).await?;
    println!("{servers}and none of 300 requests was lost");
    Ok(())
}
