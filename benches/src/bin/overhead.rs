//! What it costs to see: the processor time of a request with metrics, access log, an
//! open page and traces, each beside the same without.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use benches::{
    contest::{Rules, all_listen, free, lb, listens, measure, server},
    load::Workload,
};
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

/// Measure what metrics, the access log, the live page and traces cost.
#[derive(Parser)]
struct Arguments {
    /// The release build of lb-bin to measure.
    #[arg(long, default_value = "target/release/lb-bin")]
    lb_bin: PathBuf,
    /// Workloads: a small GET, b 10 KiB, d connection per request, e POST 1 KiB.
    #[arg(long, default_value = "ad")]
    workloads: String,
    #[command(flatten)]
    rules: Rules,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { lb_bin, workloads, rules } = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let upstream = server()?;
    let start = |name, flags: &[&str]| lb(name, &lb_bin, upstream, flags);
    let admins = [free()?, free()?, free()?, free()?].map(|address| address.to_string());
    let log = folder.path().join("access.log").to_string_lossy().into_owned();
    let pipe = pipe(&folder.path().join("pipe"))?;
    let collector = collector().await?;
    let collector = format!("http://{collector}");

    let nothing = start("nothing", &["--admin=off", "--access-log=off"])?;
    let metrics = start("metrics", &["--admin", &admins[0], "--access-log=off"])?;
    let again = [start("nothing, again", &["--admin=off", "--access-log=off"])?];
    let more = [
        start("access log, pipe", &["--admin", &admins[1], "--access-log", &pipe])?,
        start("access log, file", &["--admin", &admins[2], "--access-log", &log])?,
        start("live page open", &["--admin", &admins[3], "--access-log=off"])?,
        start("traces, 1 %", &traces(&collector, "0.01"))?,
        start("traces, all", &traces(&collector, "1"))?,
    ];
    all_listen([&nothing, &metrics].into_iter().chain(&again).chain(&more)).await?;
    listens(admins[3].parse()?).await?;
    let told = follow(admins[3].parse()?).await?;

    println!("processor time per request, ratio (lower is better), median [95 %]");
    let workloads: Vec<_> = workloads.chars().filter_map(Workload::by_letter).collect();
    let with_metrics = [metrics];
    for workload in &workloads {
        println!("beside nothing: no metrics, no access log; the last row is the noise");
        measure(&rules, &nothing, &with_metrics, workload).await?;
        measure(&rules, &nothing, &again, workload).await?;
        println!("beside metrics alone");
        let before = told.load(Ordering::Relaxed);
        measure(&rules, &with_metrics[0], &more, workload).await?;
        ensure!(told.load(Ordering::Relaxed) > before, "nobody looked at the page");
    }
    Ok(())
}

fn traces<'a>(collector: &'a str, share: &'a str) -> [&'a str; 6] {
    // Metrics, as the one beside it has them.
    ["--admin=127.0.0.1:0", "--access-log=off", "--traces", collector, "--traces-sample", share]
}

/// A pipe whose reader throws away what comes, as the log of a container goes through one.
fn pipe(path: &Path) -> anyhow::Result<String> {
    let made = Command::new("mkfifo").arg(path).status().context("mkfifo")?;
    ensure!(made.success(), "no pipe can be made at {}", path.display());
    let text = path.to_string_lossy().into_owned();
    let path = path.to_owned();
    thread::spawn(move || io::copy(&mut File::open(path)?, &mut io::sink()));
    Ok(text)
}

/// Follows the feed as an open page does, and counts the bytes.
async fn follow(admin: SocketAddr) -> anyhow::Result<Arc<AtomicU64>> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /live/events HTTP/1.1\r\nHost: admin\r\n\r\n").await?;
    let told = Arc::<AtomicU64>::default();
    let (mut buffer, count) = (vec![0; 1 << 16], Arc::clone(&told));
    let read = time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await;
    let read = read.context("the live page says nothing")??;
    ensure!(buffer[..read].starts_with(b"HTTP/1.1 200"), "there is no live page");
    tokio::spawn(async move {
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    Ok(told)
}

/// A collector that takes what it is sent, by HTTP, and throws it away.
async fn collector() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream));
        }
    });
    Ok(address)
}

async fn swallow(mut stream: TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
        };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = end + length?.trim().parse::<usize>().ok()?;
        while read.len() < whole {
            (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
        }
        read.drain(..whole);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}
