//! Every case of `benches::correctness` against the real process: nothing the
//! standard demands, and nothing we want, goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::{net::SocketAddr, process::Stdio, time::Duration};

use benches::correctness::{Lane, cases, run_all};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// What is known to go wrong, and why; what the standard only recommends too. A
/// case that no longer does has to go from here.
const KNOWN: &[(&str, &str)] = &[
    (
        "answer-of-100-headers",
        "hyper has room for 100 on the stack, and allocates for more each time",
    ),
    ("http-1.0-is-answered-in-1.1", "hyper's server answers in the version it was asked in"),
];

/// More than any answer takes here.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cases that run at once, each before a balancer of its own.
const LANES: usize = 16;

#[tokio::test]
async fn http_is_spoken_as_it_should_be() {
    let mut lanes = Vec::new();
    let mut processes = Vec::new();
    for _ in 0..LANES {
        let mut lane = Lane::new(PATIENCE).unwrap();
        let (process, address) = start(lane.backend.address()).await;
        lane.proxy = address;
        lanes.push(lane);
        processes.push(process);
    }
    let cases = cases::all();
    let mut wrong = Vec::new();
    for (case, outcome) in cases.iter().zip(run_all(&lanes, &cases, |_, _| ()).await) {
        let known = KNOWN.iter().find(|(name, _)| *name == case.name);
        match (outcome.verdict, known) {
            (Err(why), None) => {
                wrong.push(format!("{} ({}, {}): {why}", case.name, case.rule, case.level));
            }
            (Ok(()), Some((name, reason))) => {
                wrong.push(format!("{name} is right now, and marked as known to fail: {reason}"));
            }
            _ => {}
        }
    }
    for (name, _) in KNOWN {
        if !cases.iter().any(|case| case.name == *name) {
            wrong.push(format!("{name} is marked as known to fail, and no case"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A balancer before this server, and where it listens.
async fn start(upstream: SocketAddr) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lb-bin"))
        .args(["--docker=off", "--control=off", "--admin=off", "--access-log=off", "--workers=1"])
        .args(["--trust-downstream-proxy=false", "--memory-limit=off"])
        .args(["--listen=127.0.0.1:0", "--upstream", &upstream.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let address = loop {
        let line = log.next_line().await.unwrap().unwrap_or_else(|| panic!("it ended: {said}"));
        if let Some((_, address)) = line.split_once("listening on http://") {
            break address.trim_end_matches('/').parse().unwrap();
        }
        said += &line;
    };
    // Nobody else reads what it says, and it must not have to wait for that.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    (child, address)
}
