//! TLS to endpoints.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lb_core::{
    Endpoint,
    http::{Options, UpstreamTls},
    registry::{Binding, Protocol, Verification},
};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        HandshakeKind, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
        server::ServerSessionMemoryCache,
    },
    server::TlsStream,
};

use super::{
    numbers::Numbers,
    support::{self, Lb},
};

/// Signs certificates, and is known by a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new([]).unwrap();
        let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn sign(&self, name: &str, alpn: &[u8], set: fn(&mut CertificateParams)) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        set(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(64);
        Arc::new(config)
    }
}

/// A server that says what it was asked for and how.
struct Secure {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    resumed: Arc<AtomicUsize>,
}

impl Secure {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Mutex::new(config));
        let resumed = Arc::new(AtomicUsize::new(0));
        let (current, counter) = (Arc::clone(&config), Arc::clone(&resumed));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().unwrap()));
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                    serve(stream).await;
                });
            }
        });
        Self { address, config, resumed }
    }

    /// What is shown and agreed upon from now on.
    fn becomes(&self, config: Arc<ServerConfig>) {
        *self.config.lock().unwrap() = config;
    }
}

async fn serve(stream: TlsStream<TcpStream>) {
    let (_, connection) = stream.get_ref();
    let http2 = connection.alpn_protocol() == Some(b"h2");
    let name = connection.server_name().unwrap_or("nobody").to_owned();
    let service = service_fn(move |request| answer(request, name.clone()));
    let stream = TokioIo::new(stream);
    // How a connection ends is the business of who has opened it.
    if http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(stream, service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(stream, service).with_upgrades().await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    name: String,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let full = |text: String| BodyExt::boxed(Full::new(Bytes::from(text)));
    match request.uri().path() {
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut upgraded = TokioIo::new(upgrade.await.unwrap());
                let (mut near, far) = tokio::io::duplex(1024);
                let (mut read, mut write) = tokio::io::split(far);
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
                let _ = copy_bidirectional(&mut upgraded, &mut near).await;
            });
            let head = Response::builder().status(101).header("connection", "upgrade");
            Ok(head.header("upgrade", "echo").body(full(String::new())).unwrap())
        }
        "/trailers" => {
            let trailers = [("grpc-status", "0")].map(|(name, value)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())
            });
            let frames = [
                Ok(Frame::data(Bytes::from("data"))),
                Ok(Frame::trailers(trailers.into_iter().collect())),
            ];
            Ok(Response::new(BodyExt::boxed(StreamBody::new(stream::iter(frames)))))
        }
        "/close" => {
            let head = Response::builder().header("connection", "close");
            Ok(head.body(full("closed".into())).unwrap())
        }
        _ => {
            let proto = request.headers().get("x-forwarded-proto").unwrap().to_str().unwrap();
            let (version, scheme) = (request.version(), request.uri().scheme_str());
            Ok(Response::new(full(format!("{version:?} {scheme:?} {name} {proto}"))))
        }
    }
}

fn options(usual: Verification, ca: Option<&Path>) -> Options {
    let mut options = Options::default();
    options.wait = Duration::from_millis(50);
    options.upstream_tls = Some(UpstreamTls::new(usual, ca).unwrap());
    options
}

fn send(lb: &Lb, id: &str, host: &str, address: SocketAddr, set: impl Fn(&mut Binding)) {
    let mut registration = support::registration(id, host, address);
    for binding in &mut registration.bindings {
        binding.protocol = Protocol::Http1Tls;
        set(binding);
    }
    lb.send(id, Endpoint::new(registration));
}

/// Waits until it is known why the only endpoint can't be used.
async fn unusable(lb: &Lb, expected: &str) {
    lb.known("app.local").await;
    lb.until(|| {
        let reasons = &lb.report("app.local").endpoints[0].reasons;
        reasons.iter().any(|reason| reason.contains(expected))
    })
    .await;
}

/// Waits for that, and sees that requests are told.
async fn reason(lb: &Lb, expected: &str) {
    unusable(lb, expected).await;
    let answer = lb.client().await.get("app.local", "/").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(lb.report("app.local").endpoints[0].standing.name(), "connecting");
}

#[tokio::test]
async fn https_is_spoken_whoever_signed_the_certificate() {
    let server = Secure::start(Authority::new().sign("other.test", b"http/1.1", |_| {})).await;
    let lb = Lb::start(options(Verification::Off, None)).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    for _ in 0..3 {
        let answer = client.get("app.local", "/").await;
        assert_eq!(answer.body, "HTTP/1.1 None app.local http");
    }
}

#[tokio::test]
async fn an_endpoint_is_verified_for_its_host_or_the_name_it_gives() {
    let authority = Authority::new();
    let server = Secure::start(authority.sign("app.local", b"http/1.1", |_| {})).await;
    let inside = Secure::start(authority.sign("inside.test", b"http/1.1", |_| {})).await;
    let address = Secure::start(authority.sign("127.0.0.1", b"http/1.1", |_| {})).await;
    let lb = Lb::start(options(Verification::Ca, Some(&authority.file()))).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    send(&lb, "2", "b.test", inside.address, |binding| {
        binding.server_name = "inside.test".parse().ok();
    });
    // All hosts share connections, so none is asked for.
    send(&lb, "3", "*.c.test", address.address, |_| {});
    for (host, service, name) in [
        ("app.local", "app.local", "app.local"),
        ("b.test", "b.test", "inside.test"),
        ("x.c.test", "*.c.test", "nobody"),
    ] {
        lb.ready(service, 1).await;
        let answer = lb.client().await.get(host, "/").await;
        assert_eq!(answer.body, format!("HTTP/1.1 None {name} http"));
    }
}

#[tokio::test]
async fn whose_certificate_is_not_good_gets_no_requests() {
    let (authority, other) = (Authority::new(), Authority::new());
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    for (config, expected) in [
        (authority.sign("other.test", b"http/1.1", |_| {}), "not valid for name \"app.local\""),
        (other.sign("app.local", b"http/1.1", |_| {}), "UnknownIssuer"),
        (authority.sign("app.local", b"http/1.1", expired), "expired"),
        (authority.sign("app.local", b"h2", |_| {}), "NoApplicationProtocol"),
    ] {
        let server = Secure::start(config).await;
        let lb = Lb::start(options(Verification::Ca, Some(&authority.file()))).await;
        send(&lb, "1", "app.local", server.address, |_| {});
        reason(&lb, expected).await;
    }
}

#[tokio::test]
async fn an_endpoint_chooses_among_what_the_proxy_was_given() {
    let authority = Authority::new();
    let server = Secure::start(authority.sign("app.local", b"http/1.1", |_| {})).await;
    for (given, asked, expected) in [
        (None, Verification::Ca, "the proxy was given no authorities"),
        (None, Verification::Webpki, "UnknownIssuer"),
        (Some(authority.file()), Verification::Webpki, "UnknownIssuer"),
    ] {
        let lb = Lb::start(options(Verification::Off, given.as_deref())).await;
        let asks = |binding: &mut Binding| binding.verification = Some(asked);
        send(&lb, "1", "app.local", server.address, asks);
        reason(&lb, expected).await;
    }
    let lb = Lb::start(Options::default()).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    unusable(&lb, "set Options::upstream_tls").await;
}

#[tokio::test]
async fn who_does_not_speak_tls_gets_no_requests() {
    let lb = Lb::start(options(Verification::Off, None)).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    send(&lb, "1", "app.local", plain.local_addr().unwrap(), |_| {});
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            // Who is closed on before all is read might not see the answer.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    reason(&lb, "no TLS handshake: what it answers isn't TLS").await;

    // Connections are accepted by the system, and by nobody else.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(Verification::Off, None);
    let tls = options.upstream_tls.take().unwrap();
    options.upstream_tls = Some(tls.handshake_timeout(Duration::from_millis(20)));
    let lb = Lb::start(options).await;
    send(&lb, "1", "app.local", silent.local_addr().unwrap(), |_| {});
    reason(&lb, "no TLS handshake in 20ms").await;
}

#[tokio::test]
async fn one_whose_certificate_goes_bad_costs_nobody_an_answer() {
    let numbers = Numbers::default();
    let _recorder = metrics::set_default_local_recorder(&numbers);
    let authority = Authority::new();
    let good = || authority.sign("app.local", b"http/1.1", |_| {});
    let (stays, breaks) = (Secure::start(good()).await, Secure::start(good()).await);
    let lb = Lb::start(options(Verification::Ca, Some(&authority.file()))).await;
    send(&lb, "1", "app.local", stays.address, |_| {});
    send(&lb, "2", "app.local", breaks.address, |_| {});
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    breaks.becomes(Authority::new().sign("app.local", b"http/1.1", |_| {}));
    for _ in 0..10 {
        assert_eq!(client.get("app.local", "/close").await.status, 200);
    }
    assert_eq!(lb.standing("app.local", "2"), "connecting");
    assert_eq!(numbers.counter("lb_upstream_connects_total", "tls"), 1);
    assert_eq!(numbers.counter("lb_retries_total", "connect"), 1);
    breaks.becomes(good());
    lb.ready("app.local", 2).await;
}

#[tokio::test]
async fn other_authorities_count_from_the_reload_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let server = Secure::start(after.sign("app.local", b"http/1.1", |_| {})).await;
    let lb = Lb::start(options(Verification::Ca, Some(&before.file()))).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    reason(&lb, "UnknownIssuer").await;
    lb.controls.reload(options(Verification::Ca, Some(&after.file()))).await;
    lb.ready("app.local", 1).await;
}

#[tokio::test]
async fn connections_that_were_verified_by_other_authorities_are_not_used_after_the_reload() {
    for (protocol, alpn) in [(Protocol::Http1Tls, &b"http/1.1"[..]), (Protocol::Http2Tls, b"h2")] {
        let (before, after) = (Authority::new(), Authority::new());
        let server = Secure::start(before.sign("app.local", alpn, |_| {})).await;
        let lb = Lb::start(options(Verification::Ca, Some(&before.file()))).await;
        send(&lb, "1", "app.local", server.address, |binding| binding.protocol = protocol);
        lb.ready("app.local", 1).await;
        let mut client = lb.client().await;
        assert_eq!(client.get("app.local", "/").await.status, 200);
        lb.controls.reload(options(Verification::Ca, Some(&after.file()))).await;
        assert_eq!(client.get("app.local", "/").await.status, 503);
        assert_eq!(lb.standing("app.local", "1"), "connecting");
    }
}

#[tokio::test]
async fn http2_is_agreed_upon_and_has_its_trailers() {
    let authority = Authority::new();
    let server = Secure::start(authority.sign("app.local", b"h2", |_| {})).await;
    let lb = Lb::start(options(Verification::Ca, Some(&authority.file()))).await;
    let http2 = |binding: &mut Binding| binding.protocol = Protocol::Http2Tls;
    send(&lb, "1", "app.local", server.address, http2);
    lb.ready("app.local", 1).await;
    let answer = lb.client().await.get("app.local", "/").await;
    assert_eq!(answer.body, "HTTP/2.0 Some(\"https\") app.local http");

    let stream = TcpStream::connect(lb.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://app.local/trailers").body(()).unwrap();
    let mut body = sender.send_request(request, true).unwrap().0.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "data");
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn http2_has_to_be_agreed_upon() {
    let mut config = Authority::new().sign("app.local", b"", |_| {});
    Arc::get_mut(&mut config).unwrap().alpn_protocols.clear();
    let server = Secure::start(config).await;
    let lb = Lb::start(options(Verification::Off, None)).await;
    let http2 = |binding: &mut Binding| binding.protocol = Protocol::Http2Tls;
    send(&lb, "1", "app.local", server.address, http2);
    reason(&lb, "doesn't agree to speak HTTP/2").await;
}

#[tokio::test]
async fn a_tunnel_goes_through_tls() {
    let server = Secure::start(Authority::new().sign("app.local", b"http/1.1", |_| {})).await;
    let lb = Lb::start(options(Verification::Off, None)).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    let head = client
        .raw("GET /upgrade HTTP/1.1\r\nHost: app.local\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("echo")));
    for word in ["ping", "pong"] {
        assert_eq!(client.exchange(word).await, word);
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    let server = Secure::start(Authority::new().sign("app.local", b"http/1.1", |_| {})).await;
    let lb = Lb::start(options(Verification::Off, None)).await;
    send(&lb, "1", "app.local", server.address, |_| {});
    lb.ready("app.local", 1).await;
    for _ in 0..3 {
        assert_eq!(lb.client().await.get("app.local", "/close").await.body, "closed");
    }
    assert!(server.resumed.load(Ordering::SeqCst) >= 2);
}
