//! Runs the list of cases against lb-bin and other proxies, and writes the page.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use benches::correctness::{
    Act, Case, Lane, Level, Outcome, cases,
    page::{self, Column},
    proxies::{Kind, Running, program},
    run_all,
};
use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// Check how proxies speak HTTP/1.1.
#[derive(Parser)]
struct Arguments {
    /// Which: lb, nginx, haproxy, caddy, traefik, envoy or all; several separated by
    /// commas.
    #[arg(long, default_value = "lb", value_delimiter = ',')]
    against: Vec<String>,
    /// The lb-bin to check.
    #[arg(long, default_value = "target/debug/lb-bin")]
    lb_bin: PathBuf,
    /// The program of Envoy, if it isn't `envoy` on the PATH.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Only cases whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Show the bytes of each case.
    #[arg(long)]
    verbose: bool,
    /// Write the page here.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// How many of each proxy run at once.
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// How long an answer is waited for, in milliseconds.
    #[arg(long, default_value_t = 3000)]
    patience: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    // Whichever way it ends, the proxies end with it.
    tokio::select! {
        ran = run(Arguments::parse()) => ran,
        _ = terminate.recv() => bail!("terminated"),
        _ = ctrl_c() => bail!("interrupted"),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let kinds = kinds(&arguments.against)?;
    let mut cases = cases::all();
    if let Some(only) = &arguments.only {
        cases.retain(|case| case.name.contains(only));
        ensure!(!cases.is_empty(), "no case has {only} in its name");
    }
    let mut columns = Vec::new();
    for kind in kinds {
        let program = program(kind, &arguments.lb_bin, arguments.envoy.as_deref());
        columns.push(check(&arguments, kind, &program, &cases).await?);
    }
    println!("\n{:<8} {:<12} MUST SHOULD ours  failed, of {}", "", "", cases.len());
    for column in &columns {
        let failed = |level| column.failed(&cases, level);
        println!(
            "{:<8} {:<12} {:>4} {:>6} {:>4}",
            column.name,
            column.version,
            failed(Level::Must),
            failed(Level::Should),
            failed(Level::Ours)
        );
    }
    if let Some(file) = &arguments.write {
        fs::write(file, page::write(&cases, &columns))
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

fn kinds(words: &[String]) -> anyhow::Result<Vec<Kind>> {
    let mut kinds = Vec::new();
    for word in words {
        let known = Kind::ALL.iter().copied().filter(|kind| word == "all" || kind.word() == word);
        let known: Vec<_> = known.collect();
        ensure!(
            !known.is_empty(),
            "--against {word}: lb, nginx, haproxy, caddy, traefik, envoy or all"
        );
        kinds.extend(known);
    }
    Ok(kinds)
}

async fn check(
    arguments: &Arguments,
    kind: Kind,
    program: &Path,
    cases: &[Case],
) -> anyhow::Result<Column> {
    let version = kind.version(program)?;
    println!("{} {version}", kind.name());
    let mut lanes = Vec::new();
    // They end when this does.
    let mut running: Vec<Running> = Vec::new();
    for _ in 0..arguments.lanes.clamp(1, cases.len()) {
        let mut lane = Lane::new(Duration::from_millis(arguments.patience))?;
        let proxy = kind.start(program, lane.backend.address())?;
        lane.proxy = proxy.address;
        running.push(proxy);
        if let Err(why) = lane.ready().await {
            bail!("{} doesn't pass anything on: {why}", kind.name());
        }
        lanes.push(lane);
    }
    let done = AtomicUsize::new(0);
    let tell = |case: &Case, outcome: &Outcome| {
        let done = 1 + done.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = &outcome.verdict {
            println!("{done:>4}/{} {:<6} {}: {why}", cases.len(), case.level, case.name);
        }
        if arguments.verbose {
            show(case, outcome);
        }
    };
    let outcomes = run_all(&lanes, cases, tell).await;
    let ours = kind == Kind::Lb;
    Ok(Column { name: kind.name(), version, ours, setup: kind.setup(), outcomes })
}

/// Everything that went to and fro.
fn show(case: &Case, outcome: &Outcome) {
    println!("== {} ({}, {})", case.name, case.rule, case.level);
    for act in &case.acts {
        match act {
            Act::Send(bytes) | Act::SendIfToldTo(bytes) => lines("client sends", bytes),
            Act::Pieces(pieces) => lines("client sends in pieces", &pieces.concat()),
            other => println!("   client: {other:?}"),
        }
    }
    if let Some(observed) = &outcome.observed {
        for recorded in &observed.backend {
            lines("server gets", &recorded.bytes);
            if let Some(end) = recorded.end {
                println!("   server: {end}");
            }
            if let Some(why) = &recorded.garbage {
                println!("   server takes it for garbage: {why}");
            }
        }
        lines("client gets", &observed.heard);
        println!("   client: {}", observed.end);
    }
    println!("   {}", outcome.verdict.as_ref().err().map_or("right", |why| why));
}

/// At most so much of a message is shown.
const SHOWN: usize = 4000;

fn lines(title: &str, bytes: &[u8]) {
    println!("   {title} {} bytes:", bytes.len());
    for line in bytes[..bytes.len().min(SHOWN)].split_inclusive(|&byte| byte == b'\n') {
        println!("      {}", line.escape_ascii());
    }
}
