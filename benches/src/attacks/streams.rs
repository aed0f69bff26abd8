use std::{sync::atomic::Ordering, time::Duration};

use futures_util::FutureExt;
use tokio::{time, time::Instant};

use super::{
    Attack, Finding, How, MIB,
    floods::noticed,
    growth,
    h2::{END_HEADERS, END_STREAM, HEADERS, Peer, State, frame, head},
    observer::Observer,
    scene::Setup,
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "streams",
    title: "HTTP/2: more streams than there may be",
    words: "20 connections open 500 streams each at once, though they have been told that 128 \
            are the most, and wait for the answers, which take a second.",
    flags: &["--streams=128"],
    how: How::Own(|setup| run(setup).boxed()),
}];

const CONNECTIONS: usize = 20;
const STREAMS: u32 = 500;
const ALLOWED: u64 = 128;

async fn run(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let idle = observer.windows(2).await;
    let mut peers = Vec::new();
    for number in 0..CONNECTIONS {
        peers.push(Peer::connect(scene.address, number, &[]).await?);
    }
    let mut bytes = Vec::new();
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/late"));
    }
    let cpu = scene.proxy.cpu();
    for peer in &mut peers {
        peer.send(&bytes).await?;
    }
    let until = Instant::now() + Duration::from_secs(10);
    let heard = |peer: &Peer| {
        let heard = &peer.heard;
        [&heard.answers, &heard.refused, &heard.reset].map(|count| count.load(Ordering::Relaxed))
    };
    while Instant::now() < until
        && peers.iter().any(|peer| {
            heard(peer).iter().sum::<u64>() < STREAMS.into() && peer.state() == State::Open
        })
    {
        time::sleep(Duration::from_millis(10)).await;
    }
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    let during = vec![observer.take()];
    let answers = peers.iter().map(|peer| heard(peer)[0]).max().unwrap_or(0);
    let all: Vec<u64> =
        (0..3).map(|kind| peers.iter().map(|peer| heard(peer)[kind]).sum()).collect();
    let open = peers.iter().filter(|peer| peer.state() == State::Open).count();
    let is_bounded = answers <= ALLOWED;
    let mut findings = vec![
        Finding::new(
            "answered, refused (REFUSED_STREAM), reset otherwise",
            format!("{}, {}, {}", all[0], all[1], all[2]),
        ),
        Finding::new("answered on one connection, at the most", answers.to_string())
            .bound(format!("≤ {ALLOWED}"), is_bounded),
        Finding::new("connections that stayed open", format!("{open} of {CONNECTIONS}")),
        Finding::new("processor time", super::seconds(cpu)),
        growth("memory, at the most", scene.growth()?, 80 * MIB),
    ];
    findings.extend(noticed(&idle, &during));
    Ok(findings)
}
