//! The balancer as a process.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::Notify,
    time,
};

use crate::client::Client;

/// More than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The program with settings that get into nobody's way: no Docker, ports that
/// are free, and no control socket.
pub(crate) fn command() -> Command {
    with_usual_settings(Command::new(env!("CARGO_BIN_EXE_lb-bin")))
}

/// The same for another program that ends in running it.
pub(crate) fn with_usual_settings(mut command: Command) -> Command {
    command
        .env("LB_DOCKER", "off")
        .env("LB_LISTEN", "127.0.0.1:0")
        .env("LB_ADMIN", "127.0.0.1:0")
        .env("LB_CONTROL", "off")
        .env("LB_CERTIFICATES", "off")
        // No test is to end by it that doesn't say so.
        .env("LB_DRAIN_TIMEOUT", "10m")
        .env("LB_ACCESS_LOG", "off")
        // What else runs beside the tests is not their affair.
        .env("LB_MEMORY_LIMIT", "off")
        .env("TRUST_DOWNSTREAM_PROXY", "false")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A name for a control socket that nobody else uses.
pub(crate) fn control() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("@lb-life-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A balancer that runs until it is dropped.
pub(crate) struct Lb {
    pub(crate) admin: SocketAddr,
    /// Where clients connect.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The same by HTTPS.
    pub(crate) secure: Vec<SocketAddr>,
    process: Process,
}

impl Lb {
    pub(crate) async fn start(change: impl FnOnce(&mut Command)) -> Self {
        let mut command = command();
        change(&mut command);
        Self::run(command).await
    }

    pub(crate) async fn run(command: Command) -> Self {
        Self::up(Process::spawn(command)).await
    }

    /// Waits until it listens.
    pub(crate) async fn up(process: Process) -> Self {
        // The last of the lines about sockets.
        let admin = process.until("admin", |log| {
            addresses(log, "metrics and status on http://").into_iter().next()
        });
        let admin = admin.await;
        let log = process.log();
        let secure = addresses(&log, "listening on https://");
        let addresses = addresses(&log, "listening on http://");
        Self { admin, addresses, secure, process }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// The body of what the admin listener answers, and its status.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        let answer = Client::connect(self.admin).await.get("admin", path).await.unwrap();
        (answer.status, answer.body)
    }

    /// Waits until as many servers of this host get requests.
    pub(crate) async fn ready(&self, host: &str, count: usize) {
        let told = time::timeout(LIMIT, async {
            loop {
                let (_, body) = self.ask("/endpoints").await;
                let all: serde_json::Value = serde_json::from_str(&body).unwrap();
                let services = all["services"].as_array().unwrap();
                let ready = services.iter().filter(|service| service["name"] == host);
                let ready = ready.flat_map(|service| service["endpoints"].as_array().unwrap());
                if ready.filter(|endpoint| endpoint["state"] == "ready").count() == count {
                    return;
                }
                time::sleep(Duration::from_millis(5)).await;
            }
        });
        told.await.unwrap_or_else(|_| panic!("not ready: {}", self.log()));
    }

    /// Waits until `/readyz` says this.
    pub(crate) async fn readyz(&self, status: u16) {
        let told = time::timeout(LIMIT, async {
            while self.ask("/readyz").await.0 != status {
                time::sleep(Duration::from_millis(5)).await;
            }
        });
        told.await.unwrap_or_else(|_| panic!("never {status}: {}", self.log()));
    }
}

impl std::ops::Deref for Lb {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl std::ops::DerefMut for Lb {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A process and what it has said.
pub(crate) struct Process {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    more: Notify,
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::<Log>::default();
        let (lines, written) = (child.stderr.take().unwrap(), Arc::clone(&log));
        tokio::spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                written.text.lock().unwrap().push_str(&(line + "\n"));
                written.more.notify_waiters();
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits until its log has this in it.
    pub(crate) async fn says(&self, text: &str) {
        self.until(text, |log| log.contains(text).then_some(())).await;
    }

    /// Waits until it listens, and says where.
    pub(crate) async fn serves(&self) -> SocketAddr {
        self.until("listening", |log| addresses(log, "listening on http://").into_iter().next())
            .await
    }

    async fn until<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let found = time::timeout(LIMIT, async {
            loop {
                let more = self.log.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = found(&self.log()) {
                    return found;
                }
                more.await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited for {what}: {}", self.log()))
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = time::timeout(LIMIT, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("goes on: {}", self.log())).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the balancer has said:\n{}", self.log());
        }
    }
}

/// Runs a command to the end.
pub(crate) async fn output(mut command: Command) -> Output {
    time::timeout(LIMIT, command.output()).await.unwrap().unwrap()
}

/// What `lb-bin` prints when it is asked to do this over a control socket, and
/// what it complains of.
pub(crate) async fn tell(control: &str, what: &[&str]) -> Result<String, String> {
    let mut command = command();
    command.env("LB_CONTROL", control).args(what);
    let output = output(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        code => Err(format!("{}: {}", code.unwrap(), text(output.stderr))),
    }
}

fn addresses(log: &str, after: &str) -> Vec<SocketAddr> {
    log.lines()
        .filter_map(|line| line.split_once(after)?.1.split('/').next()?.parse().ok())
        .collect()
}
