//! A client that keeps a server as busy as it can be, reading answers by their
//! Content-Length and nothing more.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// What is sent, again and again.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name in tables.
    pub name: &'static str,
    /// The request, head and body.
    pub request: String,
    /// A new connection for each request.
    pub reconnect: bool,
}

impl Workload {
    /// The workloads by letter: `a` a small GET, `b` one with an answer of
    /// 10 KiB, `d` a connection for each request, `e` a POST of 1 KiB.
    pub fn by_letter(letter: char) -> Option<Self> {
        let get = |target| format!("GET {target} HTTP/1.1\r\nHost: bench.local\r\n\r\n");
        let workload = |name, request, reconnect| Self { name, request, reconnect };
        Some(match letter {
            'a' => workload("a keep-alive, small", get("/"), false),
            'b' => workload("b 10 KiB answer", get("/?size=10240"), false),
            'd' => workload("d connection per request", get("/"), true),
            'e' => {
                let body = "x".repeat(1024);
                let head = "POST / HTTP/1.1\r\nHost: bench.local\r\nContent-Length: 1024\r\n\r\n";
                workload("e POST 1 KiB", format!("{head}{body}"), false)
            }
            _ => return None,
        })
    }
}

/// Connections at work until it is dropped.
#[derive(Debug)]
pub struct Load {
    done: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    connections: JoinSet<()>,
}

impl Load {
    /// Starts so many connections to `address`.
    pub fn start(address: SocketAddr, workload: &Workload, connections: usize) -> Self {
        let (done, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (done, failed, stop) = (Arc::clone(&done), Arc::clone(&failed), Arc::clone(&stop));
            let workload = workload.clone();
            tasks.spawn(async move {
                let mut connection = Connection::default();
                while !stop.load(Ordering::Relaxed) {
                    match connection.request(address, &workload).await {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(_) => {
                            connection = Connection::default();
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        Self { done, failed, stop, connections: tasks }
    }

    /// Requests answered with 200 so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Finishes the requests under way and says how many failed in all.
    pub async fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while self.connections.join_next().await.is_some() {}
        self.failed.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Connection {
    async fn request(&mut self, address: SocketAddr, workload: &Workload) -> io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(workload.request.as_bytes()).await?;
        self.read.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.read.len() < whole) {
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if whole.is_none() {
                whole = length(&self.read)?;
            }
        }
        if workload.reconnect {
            self.stream = None;
        }
        Ok(())
    }
}

/// The length of an answer, once its head is there.
fn length(read: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let body = head
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.lines().next()?.trim().parse::<usize>().ok());
    match body {
        Some(body) if head.starts_with("http/1.1 200") => Ok(Some(end + 4 + body)),
        _ => Err(io::Error::other(head)),
    }
}
