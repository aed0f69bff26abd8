use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::Instant,
};

use super::{
    Attack, Finding, How, MIB,
    backend::{give, take},
    growth,
    scene::{Scene, Setup, request},
    seconds,
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "upload",
        title: "A large body, up",
        words: "A body of 2 GB is sent as fast as it is taken, to a server that reads 32 MB of it \
                at a tenth of the speed. Every block of it is another one, and the digests (XXH64) \
                of what was sent and of what arrived are compared.",
        flags: &["--body-limit=off"],
        how: How::Own(|setup| up(setup).boxed()),
    },
    Attack {
        name: "download",
        title: "A large body, down",
        words: "The same the other way: the client reads 32 MB at a tenth of the speed.",
        flags: &[],
        how: How::Own(|setup| down(setup).boxed()),
    },
];

const SIZE: u64 = 2_000_000_000;

async fn up(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let mut stream = BufReader::new(TcpStream::connect(scene.address).await?);
    let began = (Instant::now(), scene.proxy.cpu());
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let sent = give(&mut stream, SIZE).await.context("the body wasn't taken")?;
    skip_head(&mut stream).await?;
    let mut digest = [0; 16];
    stream.read_exact(&mut digest).await?;
    let got = u64::from_str_radix(std::str::from_utf8(&digest)?, 16)?;
    findings(&scene, began, sent == got)
}

async fn down(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let mut stream = BufReader::with_capacity(64 << 10, TcpStream::connect(scene.address).await?);
    let began = (Instant::now(), scene.proxy.cpu());
    stream.write_all(request(&format!("/down/{SIZE}")).as_bytes()).await?;
    skip_head(&mut stream).await?;
    let got = take(&mut stream, SIZE, true).await.context("the body ended early")?;
    let sent = give(&mut tokio::io::sink(), SIZE).await?;
    findings(&scene, began, got == sent)
}

async fn skip_head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head).await? > 0, "closed after {head:?}");
    }
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(())
}

fn findings(
    scene: &Scene,
    (began, cpu): (Instant, u64),
    is_same: bool,
) -> anyhow::Result<Vec<Finding>> {
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    Ok(vec![
        Finding::new("arrived as it was sent", if is_same { "yes" } else { "no" })
            .bound("yes", is_same),
        growth("memory, at the most", scene.growth()?, 16 * MIB),
        Finding::new(
            "speed, the slow part included",
            format!("{:.0} MB each second", SIZE as f64 / 1e6 / began.elapsed().as_secs_f64()),
        ),
        Finding::new("processor time", seconds(cpu)),
    ])
}
