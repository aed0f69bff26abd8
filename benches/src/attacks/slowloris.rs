use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
    time,
};

use super::{
    Attack, Finding, How, MIB, growth,
    observer::{Observer, WINDOW, others, p99},
    scene::Setup,
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "slowloris",
    title: "Slowloris",
    words: "5,000 connections that do everything as slowly as they can: a third sends the \
            head of a request a byte each second, a third the body of one, and a third takes \
            100 bytes of an answer of 512 KiB each second. Who is closed comes back at once.",
    flags: &["--head-timeout=10s", "--body-timeout=10s", "--send-timeout=10s"],
    how: How::Own(|setup| run(setup).boxed()),
}];

const CONNECTIONS: usize = 5000;

/// Each byte in its time.
const SLOW: Duration = Duration::from_secs(1);

/// On average: a third has an answer that isn't taken, of which up to 64 KiB have
/// been read and as much is waiting to be sent.
const EACH: u64 = 52 << 10;

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    closed: [AtomicU64; 3],
}

async fn run(setup: &Setup) -> anyhow::Result<Vec<Finding>> {
    let scene = setup.start().await?;
    let observer = Observer::start(scene.address)?;
    let mut idle = observer.windows(3).await;

    let counts = Arc::<Counts>::default();
    let mut attackers = JoinSet::new();
    for number in 0..CONNECTIONS {
        attackers.spawn(attack(scene.address, number, Arc::clone(&counts)));
        if number % 100 == 99 {
            time::sleep(Duration::from_millis(20)).await;
        }
    }
    while counts.open.load(Ordering::Relaxed) < CONNECTIONS * 9 / 10 {
        time::sleep(Duration::from_millis(20)).await;
    }
    let cpu = scene.proxy.cpu();
    let count = (setup.time.as_secs() / WINDOW.as_secs()).max(1);
    let during = observer.windows(usize::try_from(count)?).await;
    let cpu = Duration::from_nanos(scene.proxy.cpu() - cpu);
    let open = counts.open.load(Ordering::Relaxed);
    let grown = scene.growth()?;
    drop(attackers);
    time::sleep(Duration::from_secs(2)).await;
    idle.extend(observer.windows(3).await);

    let [heads, bodies, readers] =
        [0, 1, 2].map(|kind| counts.closed[kind].load(Ordering::Relaxed));
    let most = 2.0 * p99(&idle);
    let share = cpu.as_secs_f64() / (WINDOW.as_secs_f64() * count as f64);
    let mut findings = vec![
        Finding::new("connections open at the end", open.to_string()),
        Finding::new("closed by lb-bin: slow heads", heads.to_string()).bound(
            "> 0, if it goes on for longer than 10 s",
            heads > 0 || setup.time.as_secs() <= 10,
        ),
        Finding::new("closed by lb-bin: slow bodies, slow readers", format!("{bodies}, {readers}")),
        Finding::new(
            "processor time, others' requests included",
            format!("{share:.2} s each second"),
        ),
        growth("memory, at the most", grown, CONNECTIONS as u64 * EACH / MIB * MIB),
    ];
    findings.extend(others(&idle, &during, most, "≤ twice idle"));
    Ok(findings)
}

async fn attack(address: SocketAddr, number: usize, counts: Arc<Counts>) {
    let kind = number % 3;
    loop {
        // It ends with the connection, which is what the attacker counts.
        let _ = dawdle(address, kind, &counts.open).await;
        counts.closed[kind].fetch_add(1, Ordering::Relaxed);
    }
}

struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn dawdle(address: SocketAddr, kind: usize, open: &AtomicUsize) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // Else the system takes the answer in the reader's stead.
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(address).await?;
    open.fetch_add(1, Ordering::Relaxed);
    let _open = Open(open);
    let start = match kind {
        0 => "GET / HTTP/1.1\r\nhost: app.test\r\nx: ",
        1 => "POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000000\r\n\r\n",
        _ => "GET /down/524288 HTTP/1.1\r\nhost: app.test\r\n\r\n",
    };
    stream.write_all(start.as_bytes()).await?;
    let mut some = [0; 100];
    loop {
        if kind == 2 {
            time::sleep(SLOW).await;
            if stream.read(&mut some).await? == 0 {
                return Ok(());
            }
        } else {
            tokio::select! {
                // An answer, or the end of the connection: whichever, it is over.
                _ = stream.read(&mut some) => return Ok(()),
                () = time::sleep(SLOW) => stream.write_all(b"a").await?,
            }
        }
    }
}
