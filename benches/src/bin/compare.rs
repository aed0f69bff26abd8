//! Side by side: the processor time that proxies spend on a request.
//!
//! Machines are noisy, so only ratios count. The proxies run at the same time on
//! one core, the client and the server on another. Slices of a fraction of a
//! second alternate between the reference, nginx, and one of the others in random
//! order; each slice is compared with the two of the reference around it. What is
//! compared is the time all threads of a proxy have run, divided by the requests
//! answered.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use app_bin::{App, Server};
use benches::{
    load::{Load, Workload},
    process::Process,
    stats::{interval, median},
};
use clap::Parser;
use tokio::{net::TcpStream, time};

/// Compare the processor time of lb-bin with nginx and HAProxy.
#[derive(Parser)]
struct Arguments {
    /// The release build of lb-bin to measure.
    #[arg(long, default_value = "target/release/lb-bin")]
    lb_bin: PathBuf,
    /// Workloads: a small GET, b 10 KiB, d connection per request, e POST 1 KiB.
    #[arg(long, default_value = "abde")]
    workloads: String,
    /// Slices of each contender and workload.
    #[arg(long, default_value_t = 40)]
    pairs: usize,
    /// Length of a slice, in milliseconds.
    #[arg(long, default_value_t = 200)]
    slice: u64,
    /// Client connections.
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

struct Contender {
    name: &'static str,
    address: SocketAddr,
    process: Process,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let status = fs::read_to_string("/proc/self/status")?;
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    ensure!(
        cores.is_some_and(|cores| !cores.trim().starts_with('0')),
        "core 0 is for the proxies: run this as `make compare`, or with `taskset -c 1`"
    );
    let folder = tempfile::tempdir()?;
    let backend = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), App::new("bench"))?;
    let upstream = backend.local_addr();
    tokio::spawn(backend.run());

    let reference = nginx(folder.path(), upstream)?;
    let mut contenders = vec![lb(&arguments.lb_bin, folder.path(), upstream)?];
    match haproxy(folder.path(), upstream) {
        Ok(haproxy) => contenders.push(haproxy),
        Err(error) => eprintln!("without HAProxy: {error:#}"),
    }
    let mut all = vec![reference];
    all.append(&mut contenders);
    for contender in &all {
        listens(contender.address).await.with_context(|| contender.name)?;
    }

    println!("processor time per request, ratio to nginx (lower is better), median [95 %]");
    println!("lb-bin: metrics on, access log to a file, retries armed; others: no access log");
    for workload in arguments.workloads.chars().filter_map(Workload::by_letter) {
        measure(&arguments, &all, &workload).await?;
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    all: &[Contender],
    workload: &Workload,
) -> anyhow::Result<()> {
    let Some((reference, contenders)) = all.split_first() else { return Ok(()) };
    let slice = |contender| slice(arguments, contender, workload);
    // Connections, caches and branch predictors warm up.
    for contender in all {
        slice(contender).await?;
    }
    let mut ratios = vec![Vec::new(); contenders.len()];
    let mut before = slice(reference).await?;
    let mut costs = vec![before];
    for _ in 0..arguments.pairs {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        fastrand::shuffle(&mut order);
        for at in order {
            let cost = slice(&contenders[at]).await?;
            let after = slice(reference).await?;
            ratios[at].push(cost / f64::midpoint(before, after));
            before = after;
            costs.push(after);
        }
    }
    println!("{}: nginx {:.1} µs", workload.name, median(&costs) / 1000.0);
    for (contender, ratios) in contenders.iter().zip(&ratios) {
        let (low, high) = interval(ratios);
        println!("  {:<8} {:.2} [{low:.2}, {high:.2}]", contender.name, median(ratios));
    }
    Ok(())
}

/// Nanoseconds for each request, over one slice.
async fn slice(
    arguments: &Arguments,
    contender: &Contender,
    workload: &Workload,
) -> anyhow::Result<f64> {
    let load = Load::start(contender.address, workload, arguments.connections);
    time::sleep(Duration::from_millis(20)).await;
    let (cpu, done) = (contender.process.cpu(), load.done());
    time::sleep(Duration::from_millis(arguments.slice)).await;
    let (cpu, done) = (contender.process.cpu() - cpu, load.done() - done);
    let failed = load.finish().await;
    ensure!(failed == 0, "{}: {failed} requests failed", contender.name);
    ensure!(done > 0 && cpu > 0, "{} did nothing in {done} requests", contender.name);
    Ok(cpu as f64 / done as f64)
}

fn lb(program: &Path, folder: &Path, upstream: SocketAddr) -> anyhow::Result<Contender> {
    let address = free()?;
    let (listen, admin) = (address.to_string(), free()?.to_string());
    let upstream = format!("bench.local={upstream}");
    let log = folder.join("access.log");
    let process = Process::pinned(
        0,
        program,
        &[
            "--docker=off",
            "--workers=1",
            "--listen",
            &listen,
            "--admin",
            &admin,
            "--upstream",
            &upstream,
            "--access-log",
            &log.to_string_lossy(),
            "--trust-downstream-proxy=false",
        ],
    )?;
    Ok(Contender { name: "lb-bin", address, process })
}

fn nginx(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Contender> {
    let address = free()?;
    let prefix = folder.display();
    let file = folder.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; pid {prefix}/nginx.pid; error_log {prefix}/error.log;
             events {{ worker_connections 4096; }}
             http {{
               access_log off; keepalive_requests 100000000;
               client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy;
               fastcgi_temp_path {prefix}/fastcgi; uwsgi_temp_path {prefix}/uwsgi;
               scgi_temp_path {prefix}/scgi;
               upstream app {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
               server {{
                 listen {address}; server_name bench.local;
                 location / {{
                   proxy_pass http://app; proxy_http_version 1.1;
                   proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
                   proxy_set_header X-Real-IP $remote_addr;
                   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                   proxy_set_header X-Forwarded-Proto $scheme;
                   proxy_set_header X-Forwarded-Host $http_host;
                   proxy_set_header X-Forwarded-Port $server_port;
                 }}
               }}
             }}"
        ),
    )?;
    let process = Process::pinned(
        0,
        Path::new("nginx"),
        &["-c", &file.to_string_lossy(), "-p", &prefix.to_string()],
    )
    .context("the reference is nginx: apt-get install nginx-light")?;
    Ok(Contender { name: "nginx", address, process })
}

fn haproxy(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Contender> {
    let address = free()?;
    let file = folder.join("haproxy.cfg");
    fs::write(
        &file,
        format!(
            "global\n  nbthread 1\n  maxconn 4096\n\
             defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 1s\n  \
             http-reuse always\n  option forwardfor\n\
             frontend in\n  bind {address}\n  http-request set-header X-Real-IP %[src]\n  default_backend app\n\
             backend app\n  server one {upstream}\n"
        ),
    )?;
    let process =
        Process::pinned(0, Path::new("haproxy"), &["-db", "-f", &file.to_string_lossy()])?;
    Ok(Contender { name: "HAProxy", address, process })
}

/// A port that was free a moment ago.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn listens(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("nothing listens on {address}: is the program installed?")
}
