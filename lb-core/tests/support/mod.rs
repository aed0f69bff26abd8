//! A balancer, backends and a client, all on real sockets of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use lb_core::{
    Endpoint,
    discovery::{self, Sender},
    http::{Controls, Options, Plane, Proxy, ServiceReport},
    registry::{Binding, Registration},
    server::{Limits, Running, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time,
};

/// Longer than anything here takes: what reaches it hangs.
const HANGS: Duration = Duration::from_secs(20);

pub(crate) fn registration(name: &str, host: &str, address: SocketAddr) -> Registration {
    Registration {
        name: name.into(),
        created: SystemTime::UNIX_EPOCH,
        bindings: vec![Binding::new(host.parse().unwrap(), Some(address))],
        problems: Vec::new(),
    }
}

/// Ends when nobody accepts connections there.
pub(crate) async fn refuses(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) struct Lb {
    pub(crate) address: SocketAddr,
    pub(crate) controls: Controls,
    pub(crate) changes: Sender<Registration>,
    pub(crate) plane: Plane,
    running: Running,
}

impl Lb {
    pub(crate) async fn start(options: Options) -> Self {
        Self::limited(options, Limits::default()).await
    }

    pub(crate) async fn limited(options: Options, limits: Limits) -> Self {
        let (changes, discovery) = discovery::channel();
        let (proxy, driver) = Proxy::new(options);
        let controls = driver.controls();
        tokio::spawn(driver.source("test", discovery).run());
        let server = Server::bind(["127.0.0.1:0".parse().unwrap()]).unwrap();
        let server = server.workers(1).limits(limits);
        let address = server.local_addresses().unwrap()[0];
        let plane = proxy.plane();
        let running = server
            .start(move |worker| {
                let proxy = proxy.worker(worker);
                move |accepted| {
                    proxy
                        .client(accepted.peer, Some(accepted.local), accepted.guard)
                        .informing(accepted.interim)
                }
            })
            .unwrap();
        Self { address, controls, changes, plane, running }
    }

    pub(crate) fn upsert(&self, id: &str, host: &str, address: SocketAddr) {
        self.send(id, Endpoint::new(registration(id, host, address)));
    }

    pub(crate) fn send(&self, id: &str, endpoint: Endpoint<Registration>) {
        self.changes.upsert(id, endpoint).unwrap();
    }

    pub(crate) fn remove(&self, id: &str) {
        self.changes.remove(id).unwrap();
    }

    pub(crate) fn report(&self, service: &str) -> ServiceReport {
        let services = self.plane.services();
        services.into_iter().find(|report| &*report.name == service).unwrap()
    }

    pub(crate) fn standing(&self, service: &str, id: &str) -> &'static str {
        let report = self.report(service);
        report.endpoints.iter().find(|endpoint| endpoint.id.as_str() == id).unwrap().standing.name()
    }

    /// Waits until so many endpoints of the service are ready.
    pub(crate) async fn ready(&self, service: &str, endpoints: usize) {
        self.until(|| {
            let services = self.plane.services();
            let report = services.iter().find(|report| &*report.name == service);
            report.is_some_and(|report| {
                let ready = report.endpoints.iter().filter(|e| e.standing.name() == "ready");
                ready.count() == endpoints
            })
        })
        .await;
    }

    /// Waits until the service is known at all.
    pub(crate) async fn known(&self, service: &str) {
        self.until(|| self.plane.services().iter().any(|report| &*report.name == service)).await;
    }

    /// Waits until so many requests wait for an endpoint.
    pub(crate) async fn waiting(&self, requests: usize) {
        self.until(|| {
            self.plane.services().iter().map(|report| report.waiting).sum::<usize>() == requests
        })
        .await;
    }

    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        if time::timeout(HANGS, wait).await.is_err() {
            panic!("never came true; it is: {:#?}", self.plane.services());
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// A client that connects from this address of the machine.
    pub(crate) async fn client_from(&self, ip: IpAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        Client { stream: socket.connect(self.address).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn shutdown(self, limit: Duration) -> usize {
        self.running.shutdown(limit).await.unwrap()
    }
}

/// A client that writes what it is told and reads answers by their framing.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Client {
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        self.try_get(host, path).await.unwrap()
    }

    pub(crate) async fn try_get(&mut self, host: &str, path: &str) -> Result<Answer, String> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"), true).await
    }

    pub(crate) async fn head(&mut self, host: &str) -> Answer {
        self.send(&format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n"), false).await.unwrap()
    }

    pub(crate) async fn raw(&mut self, request: &str) -> Answer {
        self.send(request, true).await.unwrap()
    }

    /// Sends, and leaves the answer for [`receive`](Self::receive).
    pub(crate) async fn post(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Result<Answer, String> {
        time::timeout(HANGS, self.answer(true)).await.expect("no answer")
    }

    /// Sends and reads back as many bytes.
    pub(crate) async fn exchange(&mut self, bytes: &str) -> String {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
        self.fill(bytes.len()).await.unwrap();
        String::from_utf8(self.read.drain(..bytes.len()).collect()).unwrap()
    }

    async fn send(&mut self, request: &str, body: bool) -> Result<Answer, String> {
        let answer = async {
            self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
            self.answer(body).await
        };
        time::timeout(HANGS, answer).await.expect("no answer")
    }

    async fn answer(&mut self, with_body: bool) -> Result<Answer, String> {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill(self.read.len() + 1).await?;
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut body = Vec::new();
        if with_body && status != 101 {
            if let Some(length) = headers.get("content-length") {
                let length = length.parse().unwrap();
                self.fill(length).await?;
                body = self.read.drain(..length).collect();
            } else if headers.get("transfer-encoding").is_some_and(|te| te == "chunked") {
                body = self.chunks().await?;
            }
        }
        Ok(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                self.fill(self.read.len() + 1).await?;
            };
            let size: Vec<u8> = self.read.drain(..line + 2).collect();
            let size = std::str::from_utf8(&size).unwrap().trim();
            let size = usize::from_str_radix(size, 16).unwrap();
            self.fill(size + 2).await?;
            body.extend(self.read.drain(..size));
            self.read.drain(..2);
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self, length: usize) -> Result<(), String> {
        while self.read.len() < length {
            let read = self.stream.read_buf(&mut self.read).await.map_err(|e| e.to_string())?;
            if read == 0 {
                return Err(format!("closed after {} of {length} bytes", self.read.len()));
            }
        }
        Ok(())
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// What a backend does with the n-th request of a connection: the answer, or
/// `None` to break the connection off.
type Script = Arc<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

enum Reply {
    Answer(Vec<u8>),
    /// The answer, once released.
    Held(Vec<u8>),
    /// The head, then everything back as it comes.
    Echo(Vec<u8>),
    Close,
}

/// A server of one's own making, whose every byte is known.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    script: Script,
    state: Arc<State>,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    requests: AtomicUsize,
    reached: Notify,
    released: Option<Semaphore>,
}

/// An address that nobody listens on, kept for later.
pub(crate) struct Reserved(TcpSocket);

impl Reserved {
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) async fn listen(self, name: &'static str) -> Backend {
        Backend::serve(self.0.listen(64).unwrap(), script_of(name))
    }
}

fn script_of(name: &'static str) -> Script {
    Arc::new(move |_, request| {
        let body = if request.head.starts_with("HEAD") { "" } else { name };
        let length = name.len();
        Reply::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into())
    })
}

impl Backend {
    /// Answers everything with its name.
    pub(crate) async fn hello(name: &'static str) -> Self {
        Self::scripted(script_of(name)).await
    }

    /// Answers with its name, once released.
    pub(crate) async fn slow(name: &'static str) -> Self {
        let length = name.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        Self::scripted(Arc::new(move |_, _| Reply::Held(answer.clone().into()))).await
    }

    /// Answers with its name, unless it hangs: then once released.
    pub(crate) async fn moody(name: &'static str, hangs: &Arc<AtomicBool>) -> Self {
        let hangs = Arc::clone(hangs);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        Self::scripted(Arc::new(move |_, _| {
            let answer = answer.clone().into();
            if hangs.load(Ordering::SeqCst) { Reply::Held(answer) } else { Reply::Answer(answer) }
        }))
        .await
    }

    /// Answers with the body of the request, or breaks off.
    pub(crate) async fn echo() -> Self {
        Self::scripted(Arc::new(|_, request| {
            let length = request.body.len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            answer.extend_from_slice(&request.body);
            Reply::Answer(answer)
        }))
        .await
    }

    /// Switches protocols and sends everything back.
    pub(crate) async fn echo_upgrade() -> Self {
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        Self::scripted(Arc::new(move |_, _| Reply::Echo(head.into()))).await
    }

    /// Sends these bytes for the n-th request of a connection and then closes
    /// it, or closes it at once.
    pub(crate) async fn raw(
        bytes: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(Arc::new(move |n, request| match bytes(n, &request.head) {
            Some(answer) => Reply::Answer(answer.into()),
            None => Reply::Close,
        }))
        .await
    }

    /// An address of this machine that refuses connections.
    pub(crate) async fn reserved() -> Reserved {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Reserved(socket)
    }

    /// The same server at an address that somebody else has had.
    pub(crate) async fn also_on(&self, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self::serve(socket.listen(64).unwrap(), Arc::clone(&self.script))
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Waits until a request has come.
    pub(crate) async fn reached(&self) {
        time::timeout(HANGS, self.state.reached.notified()).await.expect("no request came");
    }

    /// Lets held answers go.
    pub(crate) fn release(&self) {
        self.state.released.as_ref().unwrap().add_permits(1000);
    }

    /// Closes the listener and every connection.
    pub(crate) async fn kill(mut self) {
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
        refuses(self.address).await;
    }

    async fn scripted(script: Script) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn serve(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { released: Some(Semaphore::new(0)), ..State::default() });
        let (stop, mut stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let (shared, scripted) = (Arc::clone(&state), Arc::clone(&script));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = stopped.changed() => return,
                };
                let (stream, _) = accepted.unwrap();
                let (state, script) = (Arc::clone(&shared), Arc::clone(&scripted));
                connections.spawn(converse(stream, script, state));
            }
        });
        Self { address, script, state, stop, serving }
    }
}

async fn converse(mut stream: TcpStream, script: Script, state: Arc<State>) {
    let mut read = Vec::new();
    for n in 0.. {
        let Some(request) = receive(&mut stream, &mut read).await else { return };
        if n == 0 {
            state.connections.fetch_add(1, Ordering::SeqCst);
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        state.reached.notify_one();
        let answer = match script(n, &request) {
            Reply::Answer(answer) => answer,
            Reply::Held(answer) => {
                let _permit = state.released.as_ref().unwrap().acquire().await.unwrap();
                answer
            }
            Reply::Echo(head) => {
                stream.write_all(&head).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            Reply::Close => return,
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        // An answer that is shorter than it says ends with its connection.
        let text = String::from_utf8_lossy(&answer).into_owned();
        if text.contains("Content-Length: 100\r\n") {
            return;
        }
    }
}

async fn receive(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = find(read, b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read.drain(..end).collect()).unwrap();
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some((_, rest)) = lower.split_once("content-length: ") {
        let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
        while read.len() < length {
            if stream.read_buf(read).await.ok()? == 0 {
                return None;
            }
        }
        body = read.drain(..length).collect();
    } else if lower.contains("transfer-encoding: chunked") {
        while find(read, b"0\r\n\r\n").is_none() {
            if stream.read_buf(read).await.ok()? == 0 {
                return None;
            }
        }
        body = dechunk(&std::mem::take(read));
    }
    Some(Request { head, body })
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
    body
}
