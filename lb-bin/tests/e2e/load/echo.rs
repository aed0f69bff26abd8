//! Upgraded connections that say something all the time and want it back.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use super::exchange::connect;
use crate::wait;

/// Between an echo and what is said next.
const PAUSE: Duration = Duration::from_millis(10);

/// An echo that takes longer never comes.
const LIMIT: Duration = Duration::from_secs(20);

/// Connections to the echo of one host, until they are stopped.
pub(crate) struct Echoes {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// How many connections are open.
    pub(crate) open: usize,
    /// How many echoes came.
    pub(crate) echoes: u64,
    /// The longest wait for one.
    pub(crate) longest: Duration,
    /// Why connections ended that should not have.
    pub(crate) broken: Vec<String>,
}

struct Shared {
    address: SocketAddr,
    host: String,
    stop: AtomicBool,
    heard: Mutex<Heard>,
}

impl Echoes {
    /// Opens so many.
    pub(crate) fn start(address: SocketAddr, host: &str, number: usize) -> Self {
        let shared = Arc::new(Shared {
            address,
            host: host.to_owned(),
            stop: AtomicBool::new(false),
            heard: Mutex::default(),
        });
        let driven = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().unwrap().block_on(async {
                let all: JoinSet<()> = (0..number).map(|_| talk(Arc::clone(&driven))).collect();
                all.join_all().await;
            });
        });
        let echoes = Self { shared, thread: Some(thread) };
        echoes.until("all to be open", |heard| heard.open == number);
        echoes
    }

    /// Lets them go on for so many more echoes.
    #[track_caller]
    pub(crate) fn go_on(&self, echoes: u64) {
        let goal = self.shared.heard.lock().unwrap().echoes + echoes;
        self.until("more echoes", |heard| heard.echoes >= goal);
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Heard) -> bool) {
        let state = || format!("{:?}", self.shared.heard.lock().unwrap());
        wait::until(what, state, || condition(&self.shared.heard.lock().unwrap()).then_some(()));
    }

    /// Ends them, and tells what came of them.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Heard {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.shared.heard.lock().unwrap().clone()
    }
}

impl Drop for Echoes {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

async fn talk(shared: Arc<Shared>) {
    let outcome = converse(&shared).await;
    let mut heard = shared.heard.lock().unwrap();
    match outcome {
        Ok(()) => heard.open -= 1,
        Err(why) => {
            heard.open = heard.open.saturating_sub(1);
            heard.broken.push(why);
        }
    }
}

async fn converse(shared: &Shared) -> Result<(), String> {
    let mut stream = upgrade(shared).await?;
    shared.heard.lock().unwrap().open += 1;
    let mut number = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        let (said, since) = (number.to_be_bytes(), Instant::now());
        let mut echo = [0; 8];
        let exchange = async {
            stream.write_all(&said).await?;
            stream.read_exact(&mut echo).await
        };
        match time::timeout(LIMIT, exchange).await {
            Err(_) => return Err(format!("no echo {number}")),
            Ok(Err(error)) => return Err(format!("echo {number}: {error}")),
            Ok(Ok(_)) if echo != said => return Err(format!("another echo than {number}")),
            Ok(Ok(_)) => {}
        }
        {
            let mut heard = shared.heard.lock().unwrap();
            heard.echoes += 1;
            heard.longest = heard.longest.max(since.elapsed());
        }
        number += 1;
        time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn upgrade(shared: &Shared) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("upgrade: {error}");
    let mut stream = connect(shared.address).await.map_err(failed)?;
    let host = &shared.host;
    let request =
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        Ok(stream)
    } else {
        Err(format!("not upgraded: {}", String::from_utf8_lossy(&head)))
    }
}
