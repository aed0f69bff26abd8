//! An HTTP client of containers. It finds those that name a host, follows them
//! as they come and go, and needs no proxy in between.
//!
//!     make images
//!     docker run -d -e VIRTUAL_HOST=app.local app:local    # as often as you like
//!     cargo run -p lb-docker --example docker_client -- app.local

use std::net::SocketAddr;

use lb_core::{
    Balance, EndpointId,
    balance::Algorithm,
    resilience::{policy::OnTransient, retry::RetryLayer},
};
use lb_docker::{DockerDiscovery, Options};
use reqwest::Client;
use tower::{BoxError, Layer, ServiceExt, service_fn};

/// Sends so many requests to the containers of a host; `each` hears the answers.
pub(crate) async fn run(
    options: Options,
    host: &str,
    requests: usize,
    each: impl Fn(usize, &str),
) -> Result<(), BoxError> {
    let client = Client::new();
    let connect = move |_: &EndpointId, address: &SocketAddr| {
        let (client, url) = (client.clone(), format!("http://{address}/"));
        service_fn(move |()| client.get(&url).send())
    };
    let (containers, _status) = DockerDiscovery::new(options);
    let containers = containers.addresses_of(host.parse()?);
    let (balance, driver) = Balance::new(containers, connect, Algorithm::LeastRequest);
    tokio::spawn(driver.run());

    // A container that is killed is known to be dead a moment later.
    let service = RetryLayer::new(OnTransient).layer(balance.attempts());
    for number in 0..requests {
        let answer = service.clone().oneshot(()).await?;
        each(number, &answer.error_for_status()?.text().await?);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::from_env(|key| std::env::var(key).ok())?;
    let host = std::env::args().nth(1).unwrap_or_else(|| "app.local".to_owned());
    run(options, &host, 20, |number, answer| println!("{number}: {}", answer.trim_end())).await
}
