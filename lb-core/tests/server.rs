//! How workers end, and how one process hands its sockets to another: real
//! sockets, and two servers in this process for the two processes.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::{
    convert::Infallible,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    sync::{Arc, Barrier},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lb_core::server::{Accepted, Guard, Limits, Running, Server, handover};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    sync::Semaphore,
};
use tower::service_fn;

/// More than any test takes.
const LONG: Duration = Duration::from_secs(20);

/// A server that answers with its name; `/slow` once it has a permit, and
/// `/upgrade` with a pipe that echoes.
struct Site {
    running: Running,
    address: SocketAddr,
    slow: Arc<Semaphore>,
}

impl Site {
    fn start(name: &'static str) -> Self {
        Self::on(name, Server::bind([([127, 0, 0, 1], 0).into()]).unwrap())
    }

    fn on(name: &'static str, server: Server) -> Self {
        let address = server.local_addresses().unwrap()[0];
        let slow = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&slow);
        let running = server
            // One: when it has said so to one client, it has heard that it leaves.
            .workers(1)
            .start(move |_| {
                let permits = Arc::clone(&permits);
                move |accepted: Accepted| {
                    let guard = Arc::new(accepted.guard);
                    let permits = Arc::clone(&permits);
                    service_fn(move |request| {
                        answer(name, request, Arc::clone(&guard), Arc::clone(&permits))
                    })
                }
            })
            .unwrap();
        Self { running, address, slow }
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.address).await.unwrap()))
    }
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
    guard: Arc<Guard>,
    slow: Arc<Semaphore>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path() {
        "/slow" => slow.acquire().await.unwrap().forget(),
        "/upgrade" => {
            tokio::spawn(async move {
                let _guard = guard;
                let pipe = hyper::upgrade::on(request).await.unwrap();
                let (mut read, mut write) = tokio::io::split(TokioIo::new(pipe));
                // Ends in an error when the server cuts it off.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, "upgrade".parse().unwrap());
            headers.insert(header::UPGRADE, "echo".parse().unwrap());
            return Ok(response);
        }
        _ => {}
    }
    Ok(Response::new(name.into()))
}

struct Client(BufReader<TcpStream>);

/// What a client is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    body: String,
    /// Whether this was the last answer of its connection.
    closes: bool,
}

fn told(body: &str, closes: bool) -> Told {
    Told { body: body.into(), closes }
}

impl Client {
    async fn send(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    async fn receive(&mut self) -> Told {
        let head = self.head().await;
        assert!(head.starts_with("http/1.1 200"), "{head:?}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        let closes = head.contains("connection: close");
        if closes {
            self.closed().await;
        }
        Told { body: String::from_utf8(body).unwrap(), closes }
    }

    async fn get(&mut self, path: &str) -> Told {
        self.send(path).await;
        self.receive().await
    }

    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).await.unwrap(), 0, "closed after {head:?}");
        }
        head.to_ascii_lowercase()
    }

    async fn upgrade(&mut self) {
        let request =
            "GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        self.0.write_all(request.as_bytes()).await.unwrap();
        let head = self.head().await;
        assert!(head.starts_with("http/1.1 101") && head.contains("connection: upgrade"), "{head}");
    }

    async fn echo(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut back = vec![0; text.len()];
        self.0.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }

    async fn closed(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest).await {
            Ok(_) => assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

/// Says who connected.
async fn peers(server: Server) -> (Running, SocketAddr) {
    let address = server.local_addresses().unwrap()[0];
    let running = server.workers(1).start(|_| {
        |accepted: Accepted| {
            let Accepted { peer, local, secure, guard, .. } = accepted;
            let guard = Arc::new(guard);
            service_fn(move |_: Request<Incoming>| {
                let _guard = Arc::clone(&guard);
                let said = format!("{peer} {} {secure}", local.port());
                async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(said))) }
            })
        }
    });
    (running.unwrap(), address)
}

#[tokio::test]
async fn a_proxy_in_front_tells_whose_connection_it_is() {
    let server = || Server::bind([([127, 0, 0, 1], 0).into()]).unwrap();
    let (_running, address) = peers(server().proxy_protocol(|ip| ip.is_loopback())).await;
    let connect = || async { Client(BufReader::new(TcpStream::connect(address).await.unwrap())) };
    let mut client = connect().await;
    client.0.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").await.unwrap();
    assert_eq!(client.get("/").await.body, "192.0.2.1:56324 443 false");
    assert_eq!(client.get("/").await.body, "192.0.2.1:56324 443 false", "said once");

    // Whoever is to say it and doesn't, or says something else, is sent away.
    for start in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"PROXY TCP4 nonsense\r\n"] {
        let mut client = connect().await;
        client.0.write_all(start).await.unwrap();
        client.closed().await;
    }

    // And who isn't believed can't say it.
    let (_running, address) = peers(server().proxy_protocol(|ip| !ip.is_loopback())).await;
    let mut client = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
    let own = client.0.get_ref().local_addr().unwrap();
    assert_eq!(client.get("/").await.body, format!("{own} {} false", address.port()));
    let mut client = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
    client.0.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").await.unwrap();
    assert!(client.head().await.starts_with("http/1.1 400"));
}

#[tokio::test]
async fn a_client_may_have_so_many_connections() {
    let mut limits = Limits::default();
    limits.connections_per_client = Some(1);
    let server = Server::bind([([127, 0, 0, 1], 0).into()]).unwrap().limits(limits);
    let (running, address) = peers(server).await;
    let connect = || async { Client(BufReader::new(TcpStream::connect(address).await.unwrap())) };
    // Also of one that says nothing.
    let first = connect().await;
    while running.connections().open() == 0 {
        tokio::task::yield_now().await;
    }
    let mut second = connect().await;
    second.send("/").await;
    assert!(second.head().await.starts_with("http/1.1 503"));
    assert_eq!(running.connections().turned_away(), 1);
    drop(first);
    // It is gone once the worker has seen it go.
    while running.connections().open() > 0 {
        tokio::task::yield_now().await;
    }
    connect().await.get("/").await;
}

/// Asks on new connections until an answer says that it is the last one: the
/// worker has heard that it leaves.
async fn leaving(site: &Site) {
    let heard = async { while !site.client().await.get("/").await.closes {} };
    tokio::time::timeout(LONG, heard).await.expect("a worker that leaves");
}

#[tokio::test]
async fn one_that_leaves_accepts_and_asks_for_the_end_of_every_connection() {
    let site = Site::start("a");
    let mut idle = site.client().await;
    assert_eq!(idle.get("/").await, told("a", false));
    let mut slow = site.client().await;
    slow.send("/slow").await;
    let mut tunnel = site.client().await;
    tunnel.upgrade().await;

    site.running.leave();
    leaving(&site).await;
    assert_eq!(site.client().await.get("/").await, told("a", true), "it still accepts");
    assert_eq!(idle.get("/").await, told("a", true), "what was idle was left open");
    site.slow.add_permits(1);
    assert_eq!(slow.receive().await, told("a", true), "begun before");
    let mut late = site.client().await;
    late.upgrade().await;
    late.echo("upgrades are no answers to close after").await;
    tunnel.echo("still here").await;

    drop((tunnel, late));
    site.running.idle().await;
    assert_eq!(site.running.connections().open(), 0);
    assert_eq!(site.running.shutdown(LONG).await.unwrap(), 0);
}

#[tokio::test]
async fn shutdown_closes_what_is_idle_serves_what_waits_and_counts_what_it_cuts_off() {
    let site = Site::start("a");
    let mut idle = site.client().await;
    idle.get("/").await;
    let mut tunnel = site.client().await;
    tunnel.upgrade().await;
    let Site { running, address, slow } = site;
    let mut waits = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
    waits.send("/").await;
    let ended = tokio::spawn(running.shutdown(Duration::from_secs(1)));
    idle.closed().await;
    assert_eq!(waits.receive().await.body, "a");
    tunnel.echo("until the end").await;
    assert_eq!(ended.await.unwrap().unwrap(), 1);
    tunnel.closed().await;
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(slow);
}

/// Passes a server's sockets through a Unix socket, as two processes would.
async fn pass(running: &Running) -> Vec<TcpListener> {
    let (here, there) = UnixStream::pair().unwrap();
    let sockets: Vec<_> = running.listeners().iter().map(AsFd::as_fd).collect();
    handover::send(&here, b"yours\n", &sockets).await.unwrap();
    let (message, sockets) = handover::receive(&there, 64).await.unwrap().unwrap();
    assert_eq!(message, b"yours\n");
    drop(here);
    assert!(handover::receive(&there, 64).await.unwrap().is_none(), "then nothing more");
    sockets.into_iter().map(TcpListener::from).collect()
}

#[tokio::test]
async fn one_takes_over_from_another() {
    let old = Site::start("old");
    let mut idle = old.client().await;
    assert_eq!(idle.get("/").await.body, "old");
    let mut slow = old.client().await;
    slow.send("/slow").await;
    let mut tunnel = old.client().await;
    tunnel.upgrade().await;

    let mut sockets = pass(&old.running).await;
    let new = Site::on("new", Server::bind_or_adopt([old.address], &mut sockets).unwrap());
    assert!(sockets.is_empty());
    assert_eq!(new.address, old.address);
    let Site { running, address, slow: permits } = old;
    let ended = tokio::spawn(running.hand_over([address], LONG));
    // Its worker may not have heard of it yet.
    let answer = async {
        loop {
            let answer = idle.get("/").await;
            if answer.closes {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(LONG, answer).await.expect("an end");
    assert_eq!(answer, told("old", true), "idle connections get one answer more");
    permits.add_permits(1);
    assert_eq!(slow.receive().await, told("old", true));
    tunnel.echo("as if nothing had happened").await;
    drop(tunnel);
    assert_eq!(ended.await.unwrap().unwrap(), 0);
    for _ in 0..50 {
        assert_eq!(new.client().await.get("/").await, told("new", false));
    }
}

/// Who is in the queue when the old one closes is answered by the new one, though
/// it starts only then.
#[tokio::test]
async fn what_waits_is_left_to_the_one_that_took_over() {
    let server = Server::bind([([127, 0, 0, 1], 0).into()]).unwrap();
    let address = server.local_addresses().unwrap()[0];
    let (busy, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let barriers = (Arc::clone(&busy), Arc::clone(&go_on));
    // One whose only worker is kept from accepting by what it serves.
    let start = server.workers(1).start(move |_| {
        let (busy, go_on) = barriers.clone();
        move |accepted: Accepted| {
            busy.wait();
            go_on.wait();
            let guard = Arc::new(accepted.guard);
            let slow = Arc::new(Semaphore::new(0));
            service_fn(move |request| answer("old", request, Arc::clone(&guard), Arc::clone(&slow)))
        }
    });
    let running = start.unwrap();
    let mut sockets = pass(&running).await;
    let mut accepted = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
    accepted.send("/").await;
    busy.wait();
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut waits = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
        waits.send("/").await;
        waiting.push(waits);
    }
    let ended = tokio::spawn(running.hand_over([address], LONG));
    // It has run as far as it can, and so has told the worker.
    tokio::task::yield_now().await;
    go_on.wait();
    assert_eq!(accepted.receive().await.body, "old");
    drop(accepted);
    assert_eq!(ended.await.unwrap().unwrap(), 0);
    let new = Site::on("new", Server::bind_or_adopt([address], &mut sockets).unwrap());
    for mut waits in waiting {
        assert_eq!(waits.receive().await, told("new", false));
    }
    assert_eq!(new.running.shutdown(LONG).await.unwrap(), 0);
}

#[tokio::test]
async fn a_socket_that_was_not_taken_is_closed_like_any_other() {
    let server = Server::bind([([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 0).into()]).unwrap();
    let addresses = server.local_addresses().unwrap();
    let old = Site::on("old", server);
    let mut sockets = pass(&old.running).await;
    let new = Site::on("new", Server::bind_or_adopt([addresses[0]], &mut sockets).unwrap());
    assert_eq!(sockets.len(), 1, "the other one is left over");
    drop(sockets);
    assert_eq!(old.running.hand_over([addresses[0]], LONG).await.unwrap(), 0);
    assert_eq!(new.client().await.get("/").await.body, "new");
    let refused = TcpStream::connect(addresses[1]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn idle_connections_do_not_count_as_cut_off_after_a_hand_over() {
    let old = Site::start("old");
    let (mut idle, mut tunnel) = (old.client().await, old.client().await);
    idle.get("/").await;
    tunnel.upgrade().await;
    let sockets = pass(&old.running).await;
    let cut = old.running.hand_over([old.address], Duration::from_millis(200)).await;
    assert_eq!(cut.unwrap(), 1, "the tunnel");
    idle.closed().await;
    tunnel.closed().await;
    drop(sockets);
}

#[tokio::test]
async fn a_message_without_text_or_with_too_many_sockets_is_an_error() {
    let site = Site::start("a");
    let (here, _there) = UnixStream::pair().unwrap();
    let socket = site.running.listeners()[0].as_fd();
    for (message, sockets) in [(&b""[..], vec![socket]), (b"x", vec![socket; handover::MOST + 1])] {
        let error = handover::send(&here, message, &sockets).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    handover::send(&here, b"x", &vec![socket; handover::MOST]).await.unwrap();
}
