use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use futures_util::FutureExt;
use lb_core::testing::wire::Client;
use tokio::{task::JoinSet, time, time::Instant};

use super::{
    Attack, Closes, Finding, Frames, How, MIB, growth,
    h2::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Flood, HEADERS, INITIAL_WINDOW, PING,
        Peer, SETTINGS, State, WINDOW_UPDATE, frame, head, literal, name,
    },
    observer::{Observer, Seen, WINDOW, others},
    scene::{Setup, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "continuation",
        title: "HTTP/2: CONTINUATION without end",
        words: "20 connections begin the head of a request and go on with CONTINUATION frames, \
                each with a field of 1,000 bytes, without ever ending it (CVE-2024-27316).",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || {
            let mut field = Vec::new();
            literal(&mut field, &[0, 1, b'x'], &[b'a'; 1000]);
            continued(&field)
        }),
    },
    Attack {
        name: "empty-continuation",
        title: "HTTP/2: empty CONTINUATION frames",
        words: "The same with frames that carry nothing, so that no limit on the size of a head \
                is ever reached.",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || continued(&[])),
    },
    Attack {
        name: "settings",
        title: "HTTP/2: SETTINGS",
        words: "20 connections send SETTINGS as fast as they are taken; each has to be \
                acknowledged (CVE-2019-9515).",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || {
            let window = [&INITIAL_WINDOW.to_be_bytes()[..], &1000u32.to_be_bytes()].concat();
            repeated(Vec::new(), SETTINGS, 0, &window)
        }),
    },
    Attack {
        name: "ping",
        title: "HTTP/2: PING",
        words: "20 connections send PING as fast as they are taken; each has to be answered \
                (CVE-2019-9512).",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || repeated(Vec::new(), PING, 0, &[7; 8])),
    },
    Attack {
        name: "empty-data",
        title: "HTTP/2: empty DATA frames",
        words: "20 connections send a body of DATA frames that carry nothing and don't end it \
                (CVE-2019-9518).",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || {
            let mut start = Vec::new();
            frame(&mut start, HEADERS, END_HEADERS, 1, &head("POST", "/"));
            repeated(start, DATA, 1, &[])
        }),
    },
    Attack {
        name: "window-update",
        title: "HTTP/2: WINDOW_UPDATE by one",
        words: "20 connections widen their window byte by byte, as fast as it is taken.",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || {
            repeated(Vec::new(), WINDOW_UPDATE, 0, &1u32.to_be_bytes())
        }),
    },
    Attack {
        name: "window-update-zero",
        title: "HTTP/2: WINDOW_UPDATE by nothing",
        words: "20 connections widen it by 0, which is an error.",
        flags: &[],
        how: How::Flood(20, Closes::Soon, || {
            repeated(Vec::new(), WINDOW_UPDATE, 0, &0u32.to_be_bytes())
        }),
    },
    Attack {
        name: "hpack",
        title: "HTTP/2: an HPACK bomb",
        words: "20 connections put a field of 4,000 bytes into the table and send requests of \
                16,000 bytes, each byte of which stands for that field: 64 MB each, if somebody \
                unpacked them.",
        flags: &[],
        how: How::Flood(20, Closes::Never, bombs),
    },
    Attack {
        name: "unread-pings",
        title: "HTTP/2: answers to PING that nobody reads",
        words: "20 connections send PING as fast as they are taken, and read nothing.",
        flags: &["--send-timeout=5s"],
        how: How::Own(|setup| unread(setup).boxed()),
    },
];

/// This at first, and then the same frame again and again.
fn repeated(mut start: Vec<u8>, kind: u8, stream: u32, payload: &[u8]) -> Frames {
    const TIMES: usize = 100;
    let mut one = Vec::new();
    frame(&mut one, kind, 0, stream, payload);
    let many = one.repeat(TIMES);
    Box::new(move |to| {
        to.append(&mut start);
        to.extend_from_slice(&many);
        TIMES as u64
    })
}

/// A head that goes on like this.
fn continued(fields: &[u8]) -> Frames {
    let mut start = Vec::new();
    frame(&mut start, HEADERS, END_STREAM, 1, &head("GET", "/"));
    repeated(start, CONTINUATION, 1, fields)
}

fn bombs() -> Frames {
    // The newest entry of the table (RFC 7541, section 2.3.3), as often as fits.
    let mut fields = head("GET", "/");
    fields.resize(16_000, 0x80 | 62);
    let mut first = head("GET", "/");
    // A literal that is to be that.
    literal(&mut first, &[0x40, 1, b'x'], &[b'a'; 4000]);
    let mut streams = (1..).step_by(2);
    Box::new(move |to| {
        let stream = streams.next().unwrap_or_default();
        let fields = if stream == 1 { &first } else { &fields };
        frame(to, HEADERS, END_HEADERS | END_STREAM, stream, fields);
        1
    })
}

/// What a flood may take up at the most, whatever is sent.
const MEMORY: u64 = 16 * MIB;

/// How long others may wait, as the 99th percentile: the attackers use the same two
/// cores, so this is about being served at all.
pub(super) const PATIENCE: f64 = 100.0;

/// Between the end of a connection and the next one.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a flood lasts.
pub(super) fn windows(setup: &Setup) -> usize {
    usize::try_from(setup.time.as_secs() / WINDOW.as_secs()).unwrap_or(1).clamp(1, 2)
}

pub(super) async fn run(
    setup: &Setup,
    connections: usize,
    closes: Closes,
    make: fn() -> Frames,
) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let idle = observer.windows(2).await;
    let windows = windows(setup);
    let until = Instant::now() + WINDOW * u32::try_from(windows)?;
    let cpu = scene.proxy.cpu();
    let mut attackers = JoinSet::new();
    let address = scene.address;
    for number in 0..connections {
        attackers.spawn(async move {
            let mut floods = Vec::new();
            while Instant::now() < until {
                if let Ok(mut peer) = Peer::connect(address, number, &[]).await {
                    floods.push(peer.flood(until, u64::MAX, make()).await);
                }
                time::sleep(PAUSE).await;
            }
            floods
        });
    }
    let during = observer.windows(windows).await;
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    let mut floods = Vec::new();
    while let Some(some) = attackers.join_next().await {
        floods.extend(some?);
    }
    let time = WINDOW * u32::try_from(windows)?;
    let mut findings = vec![sent(&floods, cpu, time)];
    findings.push(ends(&floods, closes, connections)?);
    findings.push(growth("memory, at the most", scene.growth()?, MEMORY));
    findings.extend(noticed(&idle, &during));
    Ok(findings)
}

/// More than any limit is, and little work.
const IN_SHORT: u64 = 100_000;

/// What reaches it hangs.
const LONG: Duration = Duration::from_secs(60);

pub(super) async fn run_in_short(
    setup: &Setup,
    closes: Closes,
    frames: Frames,
) -> anyhow::Result<()> {
    let scene = setup.start().await?;
    let mut peer = Peer::connect(scene.address, 0, &[]).await?;
    let flood = peer.flood(Instant::now() + LONG, IN_SHORT, frames).await;
    ensure!(flood.frames >= IN_SHORT || flood.state != State::Open, "it hangs: {flood:?}");
    if closes == Closes::Soon {
        time::timeout(LONG, peer.closed()).await.context("it wasn't closed")?;
    }
    let mut other = Client::connect(scene.address).await?;
    other.send(request("/")).await?;
    let answer = other.answer("GET").await.complete()?;
    ensure!(answer.status == 200, "others get {}", answer.status);
    Ok(())
}

pub(super) fn noticed(idle: &[Seen], during: &[Seen]) -> Vec<Finding> {
    others(idle, during, PATIENCE, "≤ 100 ms")
}

fn sent(floods: &[Flood], cpu: Duration, time: Duration) -> Finding {
    let frames: u64 = floods.iter().map(|flood| flood.frames).sum();
    let each = cpu.as_secs_f64() * 1e6 / frames.max(1) as f64;
    let share = cpu.as_secs_f64() / time.as_secs_f64();
    Finding::new(
        "sent; processor time",
        format!(
            "{frames} frames on {} connections; {share:.2} s each second, {each:.1} µs a frame",
            floods.len()
        ),
    )
}

fn ends(floods: &[Flood], closes: Closes, attackers: usize) -> anyhow::Result<Finding> {
    ensure!(!floods.is_empty(), "nobody could connect");
    let mut closed: Vec<_> = floods
        .iter()
        .filter_map(|flood| match flood.state {
            State::Open => None,
            State::Leaving(code) => Some((flood.frames, Some(code))),
            State::Closed(code) => Some((flood.frames, code)),
        })
        .collect();
    closed.sort_unstable();
    let measured =
        closed.get(closed.len() / 2).map_or("they stayed open".into(), |&(frames, code)| {
            let how = code.map_or("closed".into(), |code| format!("GOAWAY {}", name(code)));
            let (closed, all) = (closed.len(), floods.len());
            format!("{closed} of {all} closed, half of them after {frames} frames: {how}")
        });
    let finding = Finding::new("how connections ended", measured);
    Ok(match closes {
        Closes::Never => finding,
        // Time may have been up for the last one of each attacker.
        Closes::Soon => finding.bound("closed", closed.len() + attackers >= floods.len()),
    })
}

/// PING without reading: what is answered has to wait somewhere.
async fn unread(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    use tokio::io::AsyncWriteExt;

    const CONNECTIONS: usize = 20;
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let idle = observer.windows(2).await;
    let until = Instant::now() + 2 * WINDOW;
    let (mut attackers, closed) = (JoinSet::new(), Arc::<AtomicUsize>::default());
    for number in 0..CONNECTIONS {
        let (address, closed) = (scene.address, Arc::clone(&closed));
        attackers.spawn(async move {
            let mut stream = super::scene::connect(address, number).await?;
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            frame(&mut bytes, SETTINGS, 0, 0, &[]);
            frame(&mut bytes, SETTINGS, ACK, 0, &[]);
            stream.write_all(&bytes).await?;
            bytes.clear();
            (0..1000).for_each(|_| frame(&mut bytes, PING, 0, 0, &[7; 8]));
            while let Ok(sent) = time::timeout_at(until, stream.write_all(&bytes)).await {
                if sent.is_err() {
                    closed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            anyhow::Ok(())
        });
    }
    let during = observer.windows(2).await;
    while let Some(ended) = attackers.join_next().await {
        ended??;
    }
    let closed = closed.load(Ordering::Relaxed);
    let mut findings = vec![
        Finding::new("closed", format!("{closed} of {CONNECTIONS}"))
            .bound("all", closed == CONNECTIONS),
        growth("memory, at the most", scene.growth()?, MEMORY),
    ];
    findings.extend(noticed(&idle, &during));
    Ok(findings)
}
