//! Balancing something that is no HTTP: servers of a protocol of lines.
//!
//! They keep what they were asked, so what is asked again goes to the same
//! server, and to another one only when that server fails.
//!
//!     cargo run -p lb-core --example plain_service

mod servers;

use std::{io, net::SocketAddr};

use lb_core::{
    Balance, EndpointId,
    balance::{Algorithm, hash},
    discovery,
    health::Health,
    resilience::{policy::OnTransient, retry::RetryLayer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tower::{BoxError, Layer, ServiceExt, service_fn};

/// Asks these servers for each of 60 keys, as often as said.
pub(crate) async fn run(servers: Vec<SocketAddr>, times: usize) -> Result<(), BoxError> {
    let connect = |_: &EndpointId, server: &SocketAddr| {
        let server = *server;
        service_fn(move |line: String| ask(server, line))
    };
    let servers = discovery::fixed(servers);
    let (balance, driver) = Balance::new(servers, connect, Algorithm::Maglev);
    tokio::spawn(driver.health(Health::passive()).run());
    let balance = balance.hash_by(|line: &String| Some(hash::of(line.as_bytes())));
    let service = RetryLayer::new(OnTransient).layer(balance.attempts());
    for _ in 0..times {
        for key in 0..60 {
            let answer = service.clone().oneshot(format!("get key-{key}")).await?;
            assert_eq!(answer, format!("GET KEY-{key}"));
        }
    }
    Ok(())
}

/// Sends a line and reads one, on a connection of their own.
async fn ask(server: SocketAddr, line: String) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(server).await?);
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let answer = stream.lines().next_line().await?;
    answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let servers = servers::Servers::start(servers::lines)?;
    run(servers.addresses(), 5).await?;
    println!("{servers}and none of 300 requests was lost");
    Ok(())
}
