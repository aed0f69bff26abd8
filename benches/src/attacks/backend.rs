//! The server behind lb-bin: it takes and gives bodies of any size without keeping
//! them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::{self, Instant},
};
use xxhash_rust::xxh64::Xxh64;

/// Serves until it is dropped, on a thread of its own: the attackers leave it no room
/// on theirs.
pub(super) struct Backend {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Attackers have many requests at once.
const BACKLOG: u32 = 4096;

impl Backend {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener) => {}
                    // It is dropped, not sent.
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, _stop: stop })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
            while connections.try_join_next().is_some() {}
        }
    }
}

/// `GET /down/N` gives N bytes, `POST` takes a body and answers with its digest, and
/// `/late` waits for a second.
async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = head.to_ascii_lowercase();
        if head.contains("transfer-encoding") {
            // Only those come in chunks that never end.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let length = head.split_once("content-length: ").and_then(|(_, rest)| number(rest));
        if let Some(size) = path.strip_prefix("/down/").and_then(number) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            give(&mut stream, size).await?;
            continue;
        }
        if path == "/late" {
            time::sleep(Duration::from_secs(1)).await;
        }
        let digest = take(&mut stream, length.unwrap_or(0), length.is_some()).await?;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{digest:016x}");
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

const BLOCK: usize = 256 << 10;

/// Sends so many bytes, no two blocks of which are the same, and returns the digest.
pub(super) async fn give<W: AsyncWriteExt + Unpin>(to: &mut W, size: u64) -> io::Result<u64> {
    let mut random = fastrand::Rng::with_seed(size);
    let mut block = vec![0; BLOCK];
    random.fill(&mut block);
    let mut digest = Xxh64::new(0);
    let mut left = size;
    while left > 0 {
        block[..8].copy_from_slice(&left.to_be_bytes());
        let some = &block[..BLOCK.min(usize::try_from(left).unwrap_or(BLOCK))];
        digest.update(some);
        to.write_all(some).await?;
        left -= some.len() as u64;
    }
    to.flush().await?;
    Ok(digest.digest())
}

/// Where a reader becomes slow, and for how long.
const SLOW: std::ops::Range<u64> = 256 << 20..288 << 20;

/// Reads so many bytes, a part of them at a tenth of the speed if asked to, and
/// returns the digest.
pub(super) async fn take<R: AsyncReadExt + Unpin>(
    from: &mut R,
    size: u64,
    is_slow: bool,
) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut digest = Xxh64::new(0);
    let mut taken = 0;
    let began = Instant::now();
    let mut speed = None;
    while taken < size {
        let most = BLOCK.min(usize::try_from(size - taken).unwrap_or(BLOCK));
        let some = from.read(&mut block[..most]).await?;
        if some == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.update(&block[..some]);
        taken += some as u64;
        if is_slow && SLOW.contains(&taken) {
            let speed =
                *speed.get_or_insert_with(|| taken as f64 / began.elapsed().as_secs_f64() / 10.0);
            time::sleep(Duration::from_secs_f64(some as f64 / speed)).await;
        }
    }
    Ok(digest.digest())
}
