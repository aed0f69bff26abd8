//! Between discovery and the engine: counts what is asked, breaks and hangs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Hang,
    Cut,
}

pub(crate) struct Relay {
    directory: TempDir,
    engine: PathBuf,
    mode: watch::Sender<Mode>,
    requests: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Relay {
    /// A relay that doesn't listen yet.
    pub(crate) fn new(engine: &Path) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            engine: engine.to_owned(),
            mode: watch::Sender::new(Mode::Pass),
            requests: Arc::default(),
            listener: None,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    pub(crate) fn listen(&mut self) {
        self.mode.send_replace(Mode::Pass);
        let listener = UnixListener::bind(self.path()).expect("a socket");
        let (engine, mode) = (self.engine.clone(), self.mode.clone());
        let requests = Arc::clone(&self.requests);
        self.listener = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let engine = UnixStream::connect(&engine).await.expect("the engine");
                let (client_read, client_write) = client.into_split();
                let (engine_read, engine_write) = engine.into_split();
                let asked = Some(Arc::clone(&requests));
                tokio::spawn(copy(client_read, engine_write, mode.subscribe(), asked));
                tokio::spawn(copy(engine_read, client_write, mode.subscribe(), None));
            }
        }));
    }

    /// Breaks all connections and takes the socket away, as an engine that
    /// stops does.
    pub(crate) fn cut(&mut self) {
        self.mode.send_replace(Mode::Cut);
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
        std::fs::remove_file(self.path()).expect("the socket");
    }

    /// Accepts connections and passes nothing on.
    pub(crate) fn hang(&self) {
        self.mode.send_replace(Mode::Hang);
    }

    pub(crate) fn resume(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// How many requests had this in their first line.
    pub(crate) fn asked(&self, text: &str) -> usize {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().filter(|line| line.contains(text)).count()
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    asked: Option<Arc<Mutex<Vec<String>>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match mode.wait_for(|mode| *mode != Mode::Hang).await.as_deref() {
            Ok(Mode::Pass) => {}
            _ => return,
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = mode.changed() => continue,
        };
        let Ok(read @ 1..) = read else { return };
        if let Some(asked) = &asked {
            let line = String::from_utf8_lossy(&buffer[..read]);
            let line = line.lines().next().unwrap_or_default().to_owned();
            asked.lock().expect("no panic").push(line);
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
