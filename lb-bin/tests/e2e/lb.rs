//! The balancer as a process on this machine.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    ops::Deref,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock, Mutex},
    thread,
};

use serde::Deserialize;

use crate::{
    docker::output,
    http::{self, Answer},
    prometheus::Metrics,
    reference::Reference,
    wait,
};

/// Names another build of the balancer, to be run instead of the one that is built
/// with these tests.
const BINARY: &str = "LB_E2E_BINARY";

static REFERENCE: LazyLock<Reference> = LazyLock::new(Reference::read);

/// A balancer that runs until it is dropped.
pub(crate) struct Lb {
    view: View,
    child: Child,
    stderr: Arc<Mutex<String>>,
}

impl Lb {
    /// One that finds containers and logs no requests.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same with other arguments or another environment.
    #[track_caller]
    pub(crate) fn with(change: impl FnOnce(&mut Command)) -> Self {
        let binary = env::var_os(BINARY).unwrap_or_else(|| env!("CARGO_BIN_EXE_lb-bin").into());
        Self::run(Command::new(binary), change)
    }

    /// The same by another command that ends in running the balancer.
    #[track_caller]
    pub(crate) fn run(mut command: Command, change: impl FnOnce(&mut Command)) -> Self {
        command
            .env("LB_LISTEN", "127.0.0.1:0")
            .env("LB_ADMIN", "127.0.0.1:0")
            .env("LB_ACCESS_LOG", "off")
            // Several may run side by side.
            .env("LB_CONTROL", "off")
            .env("TRUST_DOWNSTREAM_PROXY", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().unwrap(), Arc::clone(&stderr));

        let told = |what: &str| address(&stderr.lock().unwrap(), what);
        let state = || stderr.lock().unwrap().clone();
        let view = wait::until("the balancer to listen", state, || {
            let admin = told("metrics and status on http://")?;
            Some(View { address: told(" listening on http://")?, admin })
        });
        Self { view, child, stderr }
    }

    /// All that it has said so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn until_said(&self, words: &str) {
        let state = || self.stderr();
        wait::until(words, state, || self.stderr().contains(words).then_some(()));
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.child.id().to_string()]);
        output(kill).unwrap();
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let stderr = Arc::clone(&self.stderr);
        let state = || stderr.lock().unwrap().clone();
        wait::until("the balancer to end", state, || self.child.try_wait().unwrap())
    }
}

impl Deref for Lb {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the balancer has said:\n{}", self.stderr());
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A balancer as seen from outside, wherever it runs.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl View {
    #[track_caller]
    pub(crate) fn get(&self, host: &str, path: &str) -> Answer {
        http::ask(self.address, "GET", host, path).unwrap()
    }

    /// Who answers a request for this host.
    #[track_caller]
    pub(crate) fn served_from(&self, host: &str) -> String {
        self.get(host, "/").served_from().to_owned()
    }

    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        http::ask(self.admin, "GET", "admin", path).unwrap()
    }

    #[track_caller]
    pub(crate) fn endpoints(&self) -> Endpoints {
        serde_json::from_str(&self.ask_admin("/endpoints").body).unwrap()
    }

    /// What `/metrics` shows, all of which has to be in the reference.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        let metrics = Metrics::parse(&self.ask_admin("/metrics").body).unwrap();
        REFERENCE.has(&metrics).unwrap();
        metrics
    }

    /// Waits for something to come true of what it says of itself.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut(&Endpoints) -> Option<T>) -> T {
        let state = || self.ask_admin("/endpoints").body;
        wait::until(what, state, || ask(&self.endpoints()))
    }

    /// Waits until exactly so many containers are ready for this host.
    #[track_caller]
    pub(crate) fn ready(&self, host: &str, number: usize) {
        self.until(&format!("{number} ready for {host}"), |now| {
            (now.in_state(host, "ready") == number).then_some(())
        });
    }

    /// Waits until the container is in this state and gives this reason.
    #[track_caller]
    pub(crate) fn state(&self, container: &str, state: &str, reason: &str) {
        self.until(&format!("{container} to be {state} {reason:?}"), |now| {
            let found = now.endpoint(container)?;
            let said = reason.is_empty() || found.reasons.iter().any(|said| said.contains(reason));
            (found.state == state && said).then_some(())
        });
    }
}

/// What `/endpoints` answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) services: Vec<Service>,
    pub(crate) unrouted: Vec<Instance>,
    /// Nothing, if it doesn't look for containers.
    #[serde(default)]
    pub(crate) docker: Docker,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) address: Option<SocketAddr>,
    #[serde(default)]
    pub(crate) in_flight: usize,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Docker {
    pub(crate) connected: bool,
    pub(crate) inspects: u64,
    pub(crate) containers: u64,
}

impl Endpoints {
    pub(crate) fn service(&self, host: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == host)
    }

    pub(crate) fn in_state(&self, host: &str, state: &str) -> usize {
        let endpoints = self.service(host).map_or(&[][..], |service| &service.endpoints);
        endpoints.iter().filter(|endpoint| endpoint.state == state).count()
    }

    /// The endpoint of this container, in whichever service comes first.
    pub(crate) fn endpoint(&self, container: &str) -> Option<&Instance> {
        let mut all = self.services.iter().flat_map(|service| &service.endpoints);
        all.find(|endpoint| endpoint.name == container)
    }

    /// The container, if it is routed nowhere.
    pub(crate) fn unrouted(&self, container: &str) -> Option<&Instance> {
        self.unrouted.iter().find(|instance| instance.name == container)
    }
}

fn collect(stderr: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stderr);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
}

/// The address behind these words, once its line is complete.
fn address(text: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once(words)?;
    let (address, _) = rest.split_once('\n')?;
    address.trim_end_matches('/').parse().ok()
}
