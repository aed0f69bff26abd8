use std::{io, sync::atomic::Ordering, time::Duration};

use anyhow::ensure;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use super::{
    Attack, Finding, How,
    h2::{END_HEADERS, END_STREAM, HEADERS, Peer, State, frame, head},
    scene::{Scene, Setup, connect_all, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "idle",
        title: "Idle connections of HTTP/1",
        words: "10,000 connections that ask nothing; then one request on each, within ten \
                seconds; then nothing for six seconds; then one more on each, which all have to \
                be answered.",
        flags: &[],
        how: How::Own(|setup| http1(setup).boxed()),
    },
    Attack {
        name: "idle-h2",
        title: "Idle connections of HTTP/2",
        words: "The same with HTTP/2.",
        flags: &[],
        how: How::Own(|setup| http2(setup).boxed()),
    },
];

const CONNECTIONS: usize = 10_000;

/// Within how long all of them ask.
const ASK: Duration = Duration::from_secs(10);

/// Of each connection, after a request.
const MOST: f64 = 13.0;
const GOAL: f64 = 4.0;

/// What is measured of each connection, in KiB.
struct Kib<'a> {
    scene: &'a Scene,
    findings: Vec<Finding>,
}

impl Kib<'_> {
    fn now(&self) -> anyhow::Result<f64> {
        let grown = self.scene.proxy.memory()?.saturating_sub(self.scene.memory);
        Ok(grown as f64 / 1024.0 / CONNECTIONS as f64)
    }

    fn find(&mut self, when: &str, most: Option<f64>) -> anyhow::Result<()> {
        let each = self.now()?;
        let finding = Finding::new(format!("memory for each, {when}"), format!("{each:.1} KiB"));
        self.findings.push(match most {
            Some(most) => finding.bound(format!("≤ {most} KiB (goal: {GOAL})"), each <= most),
            None => finding,
        });
        Ok(())
    }
}

/// Until the proxy has taken note of everything.
const SETTLE: Duration = Duration::from_secs(1);
const NOTHING: Duration = Duration::from_secs(6);

async fn http1(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let mut streams = connect_all(scene.address, CONNECTIONS).await?;
    time::sleep(SETTLE).await;
    let mut kib = Kib { scene: &scene, findings: Vec::new() };
    kib.find("before the first request", Some(MOST))?;
    ask(&mut streams).await?;
    kib.find("after one request each", Some(MOST))?;
    time::sleep(NOTHING).await;
    kib.find("six seconds later", Some(MOST))?;
    ask(&mut streams).await?;
    kib.find("after another request each", Some(MOST))?;
    Ok(kib.findings)
}

async fn ask(streams: &mut [TcpStream]) -> io::Result<()> {
    let pause = ASK / u32::try_from(streams.len()).unwrap_or(1);
    let mut tick = time::interval(pause);
    for stream in streams {
        tick.tick().await;
        stream.write_all(request("/").as_bytes()).await?;
        let (mut some, mut answer) = ([0; 1024], Vec::new());
        // Sixteen digits behind the head.
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") || answer.len() < 16 {
            let count = stream.read(&mut some).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&some[..count]);
        }
    }
    Ok(())
}

async fn http2(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let peers = (0..CONNECTIONS).map(|number| Peer::connect(scene.address, number, &[]));
    let mut peers: Vec<_> = stream::iter(peers).buffered(100).try_collect().await?;
    time::sleep(SETTLE).await;
    let mut kib = Kib { scene: &scene, findings: Vec::new() };
    kib.find("before the first request", Some(MOST))?;
    for (stream, when) in [(1, "after one request each"), (3, "after another request each")] {
        let mut bytes = Vec::new();
        frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/"));
        let mut tick = time::interval(ASK / u32::try_from(peers.len())?);
        for peer in &mut peers {
            tick.tick().await;
            peer.send(&bytes).await?;
        }
        time::sleep(SETTLE).await;
        kib.find(when, Some(MOST))?;
        let asked = u64::from(stream.div_ceil(2));
        let answered = |peer: &&Peer| peer.heard.answers.load(Ordering::Relaxed) == asked;
        let answered = peers.iter().filter(answered).count();
        ensure!(answered == CONNECTIONS, "{answered} of {CONNECTIONS} were answered");
        if stream == 1 {
            time::sleep(NOTHING).await;
            kib.find("six seconds later", Some(MOST))?;
        }
    }
    let open = peers.iter().filter(|peer| peer.state() == State::Open).count();
    kib.findings.push(
        Finding::new("connections that stayed open", format!("{open} of {CONNECTIONS}"))
            .bound("all", open == CONNECTIONS),
    );
    Ok(kib.findings)
}
