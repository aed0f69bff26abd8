//! How long it takes from "this container listens" to its first request.
//!
//! Starts containers one after another while requests for their host come all
//! the time, on a few connections with a millisecond between an answer and the
//! next request, and asks each container how long it listened before the first
//! one reached it. The container's own clock measures; nobody's log is trusted.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use benches::{process::Process, stats};
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

/// Measure how fast lb-bin routes to containers that start.
#[derive(Parser)]
struct Arguments {
    /// The release build of lb-bin to measure.
    #[arg(long, default_value = "target/release/lb-bin")]
    lb_bin: PathBuf,
    /// The image of app-bin, as `make images` builds it.
    #[arg(long, default_value = "app:local")]
    image: String,
    /// How many containers to start.
    #[arg(long, default_value_t = 20)]
    starts: usize,
    /// What each container waits before it listens, in milliseconds.
    #[arg(long, default_value_t = 0)]
    start_delay: u64,
}

// Commands block their thread; the requests go on beside them.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let scope = Scope(format!("lb-time-to-route-{}", std::process::id()));
    let host = format!("{}.local", scope.0);
    let address = free()?;
    let listen = address.to_string();
    let process = Process::start(
        &arguments.lb_bin,
        &["--listen", &listen, "--admin=off", "--access-log=off", "--trust-downstream-proxy=false"],
    )?;
    let mut load = JoinSet::new();
    for _ in 0..4 {
        load.spawn(ask(address, host.clone()));
    }

    let mut times = Vec::new();
    for n in 1..=arguments.starts {
        let name = format!("{}-{n}", scope.0);
        let delay = arguments.start_delay;
        docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "--label",
            &format!("bench.scope={}", scope.0),
            "-e",
            &format!("VIRTUAL_HOST={host}"),
            "-e",
            "VIRTUAL_PORT=8484",
            "-e",
            &format!("APP_START_DELAY={delay}ms"),
            "--no-healthcheck",
            &arguments.image,
        ])?;
        let ip = docker(&[
            "inspect",
            "-f",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            &name,
        ])?;
        let control: SocketAddr = format!("{}:8485", ip.trim()).parse().context("no address")?;
        times.push(first_request(control).await?);
        docker(&["rm", "-f", &name])?;
    }
    load.shutdown().await;
    drop(process);
    let max = stats::quantile(&times, 1.0);
    println!(
        "listening to first request, {} starts: median {:.1} ms, max {max:.1} ms",
        times.len(),
        stats::median(&times),
    );
    Ok(())
}

/// Requests for the host, one after another.
async fn ask(address: SocketAddr, host: String) {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut stream = None;
    loop {
        stream = exchange(stream, address, &request).await.ok();
        time::sleep(Duration::from_millis(1)).await;
    }
}

/// One request and whatever is answered, on a connection that is given back.
async fn exchange(
    stream: Option<TcpStream>,
    address: SocketAddr,
    request: &str,
) -> std::io::Result<TcpStream> {
    let mut stream = match stream {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(request.as_bytes()).await?;
    // Every answer that comes here fits into one packet.
    let mut answer = [0; 4096];
    match stream.read(&mut answer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(stream),
    }
}

/// Milliseconds from listening to the first request, as the app tells.
async fn first_request(control: SocketAddr) -> anyhow::Result<f64> {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        if let Ok(answer) = requests(control).await
            && let Some((_, body)) = answer.split_once("\r\n\r\n")
        {
            let body: serde_json::Value = serde_json::from_str(body)?;
            if let Some(time) = body["first_request_ms"].as_f64() {
                return Ok(time);
            }
        }
        time::sleep(Duration::from_millis(5)).await;
    }
    bail!("no request reached {control}")
}

async fn requests(control: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(control).await?;
    stream.write_all(b"GET /requests HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(arguments).output().context("can't run docker")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {error}", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port that was free a moment ago.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Removes the containers of this run, also when it fails.
struct Scope(String);

impl Drop for Scope {
    fn drop(&mut self) {
        let filter = format!("label=bench.scope={}", self.0);
        let left = docker(&["ps", "-aq", "--filter", &filter]).unwrap_or_default();
        for id in left.split_whitespace() {
            let _ = docker(&["rm", "-f", id]);
        }
    }
}
