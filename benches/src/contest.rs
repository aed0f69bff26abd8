//! Side by side: the processor time that proxies spend on a request.
//!
//! Machines are noisy, so only ratios count. The proxies run at the same time on
//! one core, the client and the server on another. Slices of a fraction of a
//! second alternate between a reference and one of the others in random order; each
//! slice is compared with the two of the reference around it. What is compared is the
//! time all threads of a proxy have run, divided by the requests answered.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use app_bin::{App, Server};
use clap::Args;
use tokio::{net::TcpStream, time};

use crate::{
    load::{Load, Workload},
    process::Process,
    stats::{interval, median},
};

/// How it is measured.
#[derive(Args, Clone, Debug)]
pub struct Rules {
    /// Slices of each contender and workload.
    #[arg(long, default_value_t = 40)]
    pub pairs: usize,
    /// Length of a slice, in milliseconds.
    #[arg(long, default_value_t = 200)]
    pub slice: u64,
    /// Client connections.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
}

/// A proxy at work.
#[derive(Debug)]
pub struct Contender {
    /// Its name in tables.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is measured.
    pub process: Process,
}

/// A server for the proxies, in this process.
///
/// # Errors
///
/// This process may use the core of the proxies, or there is no port left.
pub fn server() -> anyhow::Result<SocketAddr> {
    let status = fs::read_to_string("/proc/self/status")?;
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    ensure!(
        cores.is_some_and(|cores| !cores.trim().starts_with('0')),
        "core 0 is for the proxies: run this by make, or with `taskset -c 1`"
    );
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), App::new("bench"))?;
    let address = server.local_addr();
    tokio::spawn(server.run());
    Ok(address)
}

/// The balancer before this server, with its flags and nothing from the environment.
///
/// # Errors
///
/// It can't be started.
pub fn lb(
    name: &'static str,
    program: &Path,
    server: SocketAddr,
    flags: &[&str],
) -> anyhow::Result<Contender> {
    let address = free()?;
    let (listen, upstream) = (address.to_string(), format!("bench.local={server}"));
    let mut arguments = vec![
        "--docker=off",
        "--control=off",
        "--workers=1",
        "--trust-downstream-proxy=false",
        "--listen",
        &listen,
        "--upstream",
        &upstream,
    ];
    arguments.extend(flags);
    Ok(Contender { name, address, process: Process::pinned(0, program, &arguments)? })
}

/// Waits until a proxy listens.
///
/// # Errors
///
/// It doesn't.
pub async fn listens(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("nothing listens on {address}: is the program installed?")
}

/// Measures each contender against the reference and prints the ratios.
///
/// # Errors
///
/// A request fails.
pub async fn measure(
    rules: &Rules,
    reference: &Contender,
    contenders: &[Contender],
    workload: &Workload,
) -> anyhow::Result<()> {
    let slice = |contender| slice(rules, contender, workload);
    // Connections, caches and branch predictors warm up.
    slice(reference).await?;
    for contender in contenders {
        slice(contender).await?;
    }
    let mut ratios = vec![Vec::new(); contenders.len()];
    let mut before = slice(reference).await?;
    let mut costs = vec![before];
    for _ in 0..rules.pairs {
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
    println!("{}: {} {:.1} µs", workload.name, reference.name, median(&costs) / 1000.0);
    for (contender, ratios) in contenders.iter().zip(&ratios) {
        let (low, high) = interval(ratios);
        println!("  {:<20} {:.3} [{low:.3}, {high:.3}]", contender.name, median(ratios));
    }
    Ok(())
}

/// A port that was free a moment ago.
///
/// # Errors
///
/// There is none.
pub fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Nanoseconds for each request, over one slice.
async fn slice(rules: &Rules, contender: &Contender, workload: &Workload) -> anyhow::Result<f64> {
    let load = Load::start(contender.address, workload, rules.connections);
    time::sleep(Duration::from_millis(20)).await;
    let (cpu, done) = (contender.process.cpu(), load.done());
    time::sleep(Duration::from_millis(rules.slice)).await;
    let (cpu, done) = (contender.process.cpu() - cpu, load.done() - done);
    let failed = load.finish().await;
    ensure!(failed == 0, "{}: {failed} requests failed", contender.name);
    ensure!(done > 0 && cpu > 0, "{} did nothing in {done} requests", contender.name);
    Ok(cpu as f64 / done as f64)
}

/// Waits for all of them.
///
/// # Errors
///
/// One doesn't listen.
pub async fn all_listen<'a>(
    contenders: impl IntoIterator<Item = &'a Contender>,
) -> anyhow::Result<()> {
    for contender in contenders {
        listens(contender.address).await.context(contender.name)?;
    }
    Ok(())
}
