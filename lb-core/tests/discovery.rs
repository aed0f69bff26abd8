//! Every source passes the conformance kit.
#![cfg(all(feature = "test-util", feature = "file"))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, time::Duration};

use lb_core::{
    Endpoint, EndpointId,
    discovery::{self, Change, file, from_watch, merge},
    testing::conformance,
};
use tokio::sync::watch;

type State = Vec<(EndpointId, Endpoint<u16>)>;

fn state(ports: &[u16]) -> State {
    ports.iter().map(|&port| (port.to_string().into(), Endpoint::new(port))).collect()
}

/// Grows, changes, shrinks and empties.
fn states() -> Vec<State> {
    let mut heavier = state(&[1, 2, 3]);
    heavier[1].1.weight = 5;
    vec![state(&[1]), state(&[1, 2, 3]), heavier, state(&[3]), state(&[])]
}

#[tokio::test]
async fn fixed() {
    conformance::discovery(discovery::fixed([1, 2]), vec![state(&[1, 2])], async |_| ()).await;
}

#[tokio::test]
async fn channel() {
    let (changes, discovery) = discovery::channel();
    let make = async |at: usize| changes.send(Change::Reset(states()[at].clone())).unwrap();
    conformance::discovery(discovery, states(), make).await;
}

#[tokio::test]
async fn a_watch() {
    let (sender, receiver) = watch::channel(State::new());
    let make = async |at: usize| _ = sender.send_replace(states()[at].clone());
    conformance::discovery(from_watch(receiver), states(), make).await;
}

#[tokio::test]
async fn merged() {
    let (changes, discovery) = discovery::channel();
    let merged = merge().source("a", discovery).source("b", discovery::fixed([9]));
    let named = |state: State| -> State {
        let of_a = state.into_iter().map(|(id, endpoint)| (format!("a/{id}").into(), endpoint));
        of_a.chain([("b/9".into(), Endpoint::new(9))]).collect()
    };
    let make = async |at: usize| changes.send(Change::Reset(states()[at].clone())).unwrap();
    conformance::discovery(merged, states().into_iter().map(named).collect(), make).await;
}

#[tokio::test]
async fn a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints");
    let discovery = file::follow::<u16>(&path).interval(Duration::from_millis(5));
    let make = async |at: usize| {
        let lines = states()[at].iter().fold(String::new(), |lines, (_, endpoint)| {
            format!("{lines}{} weight={}\n", endpoint.target, endpoint.weight)
        });
        // Moved into place, as who writes such a file should.
        let new = folder.path().join("new");
        fs::write(&new, if lines.is_empty() { "!empty" } else { &lines }).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    conformance::discovery(discovery, states(), make).await;
}
