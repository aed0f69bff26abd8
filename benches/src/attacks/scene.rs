use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use lb_core::testing::wire::Client;
use tokio::{
    net::{TcpSocket, TcpStream},
    time,
};

use super::backend::Backend;
use crate::process::Process;

/// What every attack is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The lb-bin to attack.
    pub lb_bin: PathBuf,
    /// How long an attack goes on that can go on for ever.
    pub time: Duration,
    flags: &'static [&'static str],
}

/// What all are started with.
pub(super) const FLAGS: &[&str] =
    &["--docker=off", "--control=off", "--admin=off", "--access-log=off", "--log=error"];

/// lb-bin with a server behind it.
pub(super) struct Scene {
    pub(super) address: SocketAddr,
    pub(super) proxy: Process,
    _backend: Backend,
    /// What it took up before the attack.
    pub(super) memory: u64,
}

impl Setup {
    /// Attacks this program for so long.
    pub fn new(lb_bin: PathBuf, time: Duration) -> Self {
        Self { lb_bin, time, flags: &[] }
    }

    pub(super) fn with_flags(&self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self.clone() }
    }

    /// Starts lb-bin, and has it answer a few hundred requests so that what it
    /// allocates once is there.
    pub(super) async fn start(&self) -> anyhow::Result<Scene> {
        let backend = Backend::start()?;
        let address = free()?;
        let (listen, upstream) = (address.to_string(), backend.address().to_string());
        let own = ["--listen", &listen, "--upstream", &upstream];
        let flags: Vec<_> = FLAGS.iter().chain(self.flags).chain(&own).copied().collect();
        let proxy = Process::start(&self.lb_bin, &flags)?;
        answers(address).await.context("lb-bin doesn't answer; is it the right program?")?;
        let warm = (0..20).map(|_| async {
            let mut client = Client::connect(address).await?;
            for _ in 0..20 {
                client.send(request("/")).await?;
                client.answer("GET").await.complete()?;
            }
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(warm).await?;
        let memory = proxy.memory()?;
        Ok(Scene { address, proxy, _backend: backend, memory })
    }
}

impl Scene {
    /// By how much its memory was larger than before the attack, at the most.
    pub(super) fn growth(&self) -> anyhow::Result<u64> {
        Ok(self.proxy.peak_memory()?.saturating_sub(self.memory))
    }
}

pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n")
}

async fn answers(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..500 {
        if let Ok(mut client) = Client::connect(address).await {
            client.send(request("/")).await?;
            if client.answer("GET").await.complete().is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
        }
        time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("no answer from {address} in ten seconds")
}

/// Connects from the n-th address of this machine: one has too few ports for all.
pub(super) async fn connect(address: SocketAddr, number: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    #[allow(clippy::cast_possible_truncation, reason = "one of eight")]
    socket.bind((Ipv4Addr::new(127, 0, 0, 1 + (number % 8) as u8), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many connections, opened a hundred at a time.
pub(super) async fn connect_all(
    address: SocketAddr,
    count: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    while streams.len() < count {
        let next = streams.len()..count.min(streams.len() + 100);
        let some = next.map(|number| connect(address, number));
        streams.extend(futures_util::future::try_join_all(some).await?);
    }
    ensure!(streams.len() == count);
    Ok(streams)
}

/// A port that was free a moment ago.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
