//! Attacks lb-bin, measures what that costs, and writes the page.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use benches::attacks::{ALL, Setup, page};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Attack lb-bin, and see what that costs it and others.
#[derive(Parser)]
struct Arguments {
    /// The lb-bin to attack.
    #[arg(long, default_value = "target/release/lb-bin")]
    lb_bin: PathBuf,
    /// Only attacks whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// How long an attack goes on that can go on for ever.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Write the page here.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // Each connection is a descriptor here, too.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("can't raise the number of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut attacks = ALL.concat();
    if let Some(only) = &arguments.only {
        attacks.retain(|attack| attack.name.contains(only));
        ensure!(!attacks.is_empty(), "no attack has {only} in its name");
    }
    let setup = Setup::new(arguments.lb_bin.clone(), Duration::from_secs(arguments.seconds));
    let mut results = Vec::new();
    let mut failed = 0;
    for attack in attacks {
        println!("\n{} ({})", attack.title, attack.name);
        let findings = attack.run(&setup).await.with_context(|| attack.name.to_owned())?;
        for finding in &findings {
            let bound = finding.bound.as_ref().map_or("", |(bound, _)| bound);
            let mark = if finding.holds() { " " } else { "!" };
            println!("{mark} {:<55} {:<60} {bound}", finding.what, finding.measured);
        }
        failed += findings.iter().filter(|finding| !finding.holds()).count();
        results.push((attack, findings));
    }
    if let Some(file) = &arguments.write {
        let page = page::write(&machine(), arguments.seconds, &results);
        fs::write(file, page).with_context(|| format!("can't write {}", file.display()))?;
    }
    println!("\n{failed} bounds don't hold");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("?", |(_, model)| model);
    format!("{cores} cores of {model} (virtual, shared with others)")
}
