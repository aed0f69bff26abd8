use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time,
};
use tower::service_fn;

use super::*;
use crate::server::{Interim, Limits};

const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection over a pipe that holds `room` bytes, in a time that passes when
/// nothing else happens.
struct Scene<C = DuplexStream> {
    client: C,
    waits: Arc<Waits>,
    stage: watch::Sender<Stage>,
    served: JoinHandle<Result<(), Early>>,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn sleep(time: Duration) {
    time::sleep(time).await;
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

impl Scene {
    fn new(room: usize) -> Self {
        Self::with(room, Limits { head_timeout: HEAD_TIMEOUT, ..Limits::default() })
    }

    fn with(room: usize, limits: Limits) -> Self {
        let (client, server) = duplex(room);
        Self::over(client, server, limits)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Scene<C> {
    fn over<I>(client: C, server: I, limits: Limits) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stage, stages) = watch::channel(Stage::Serving);
        let protocols = Protocols::new(Arc::new(limits), None, Arc::default(), stages);
        let stream = Stream::new(BytesMut::new(), server, HEAD_TIMEOUT, Interim::new());
        let waits = Arc::clone(stream.waits());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let asks = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Incoming>| {
            asks.lock().unwrap().push(request.uri().path().to_owned());
            answer(request)
        });
        let served = tokio::spawn(async move { protocols.http1(stream, service).await });
        Self { client, waits, stage, served, asked }
    }

    /// Whether hyper has given the connection back: the timer that it keeps while it
    /// waits for a head holds one reference more.
    fn is_idle(&self) -> bool {
        self.waits.since().is_some() && Arc::strong_count(&self.waits) == 4
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write_all(bytes.as_ref()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Answers up to one with this body.
    async fn receive(&mut self, body: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(body.as_bytes()) {
            let read = self.client.read_buf(&mut heard).await.unwrap();
            assert_ne!(read, 0, "closed after {}", heard.escape_ascii());
        }
        String::from_utf8(heard).unwrap()
    }

    async fn get(&mut self, path: &str) -> String {
        self.send(get(path)).await;
        self.receive(&format!("<{path}>")).await
    }

    async fn closed(mut self) {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
        drop(self.client);
        // In an error, where its time was up.
        let _ = self.served.await.unwrap();
    }
}

/// Answers with the path, and `/slow` ten seconds later.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    match &path[..] {
        "/slow" => sleep(Duration::from_secs(10)).await,
        "/body" => drop(request.into_body().collect().await),
        "/upgrade" => {
            tokio::spawn(async move {
                let mut pipe = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
                let mut four = [0; 4];
                while pipe.read_exact(&mut four).await.is_ok() {
                    pipe.write_all(&four).await.unwrap();
                }
            });
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
            return Ok(response);
        }
        _ => {}
    }
    Ok(Response::new(format!("<{path}>").into()))
}

#[tokio::test(start_paused = true)]
async fn hyper_keeps_nothing_of_who_has_waited_for_a_while() {
    let mut scene = Scene::new(4096);
    for path in ["/1", "/2", "/3"] {
        scene.get(path).await;
        sleep(A_WHILE / 2).await;
        assert!(!scene.is_idle());
        scene.get("/again").await;
        // It looks once in that time, and then exactly when the time has come.
        sleep(A_WHILE - millis(10)).await;
        assert!(!scene.is_idle());
        sleep(millis(20)).await;
        assert!(scene.is_idle());
        sleep(Duration::from_secs(50)).await;
    }
    let pipelined = ["/4", "/5", "/6"].map(get).concat();
    scene.send(pipelined).await;
    let heard = scene.receive("</6>").await;
    assert_eq!(heard.matches("HTTP/1.1 200").count(), 3);
    let asked = scene.asked.lock().unwrap().join(" ");
    assert_eq!(asked, "/1 /again /2 /again /3 /again /4 /5 /6");
}

#[tokio::test(start_paused = true)]
async fn no_request_is_lost_at_the_moment_it_is_given_back() {
    let text = get("/b");
    for offset in 0..6 {
        for cut in 0..text.len() {
            for other in [0, 1, 5000] {
                let mut scene = Scene::new(4096);
                scene.get("/a").await;
                sleep(A_WHILE + millis(offset) - millis(3)).await;
                scene.send(&text[..cut]).await;
                sleep(millis(other)).await;
                scene.send(&text[cut..]).await;
                scene.receive("</b>").await;
                scene.get("/c").await;
                assert_eq!(*scene.asked.lock().unwrap(), ["/a", "/b", "/c"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_closed_when_the_head_is_due() {
    let start = || async {
        let mut scene = Scene::new(4096);
        scene.get("/").await;
        (scene, Instant::now())
    };
    // At once, or a while after; with nothing, or half a head.
    for pause in [0, 1, 3, 30] {
        for half in ["", "GET / HT"] {
            let (mut scene, began) = start().await;
            sleep(Duration::from_secs(pause)).await;
            scene.send(half).await;
            sleep(Duration::from_secs(10)).await;
            assert_eq!(scene.is_idle(), half.is_empty());
            scene.closed().await;
            assert!(began.elapsed().abs_diff(HEAD_TIMEOUT) < millis(10), "{:?}", began.elapsed());
        }
    }
    // Nor does it help to have sent the half together with what was before.
    let mut scene = Scene::new(4096);
    scene.send(get("/a") + &get("/b")[..10]).await;
    scene.receive("</a>").await;
    let began = Instant::now();
    sleep(3 * A_WHILE).await;
    assert!(!scene.is_idle());
    scene.closed().await;
    assert!(began.elapsed().abs_diff(HEAD_TIMEOUT) < millis(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn half_a_head_that_came_with_the_request_before_is_kept() {
    let text = get("/b");
    for cut in 1..text.len() {
        let mut scene = Scene::new(4096);
        scene.send(get("/a") + &text[..cut]).await;
        scene.receive("</a>").await;
        sleep(3 * A_WHILE).await;
        scene.send(&text[cut..]).await;
        scene.receive("</b>").await;
        sleep(2 * A_WHILE).await;
        assert!(scene.is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_stays() {
    let long = Duration::from_secs(10);
    // An answer that is made, one that isn't taken, and a request that comes slowly.
    let mut scene = Scene::new(4096);
    scene.send(get("/slow")).await;
    sleep(3 * A_WHILE).await;
    assert!(!scene.is_idle());
    scene.receive("</slow>").await;

    let mut scene = Scene::new(16);
    scene.get("/").await;
    scene.send(get("/a-longer-path")).await;
    sleep(long).await;
    assert!(!scene.is_idle());
    scene.receive("</a-longer-path>").await;
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());

    let mut scene = Scene::new(4096);
    scene.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n12").await;
    sleep(long).await;
    assert!(!scene.is_idle());
    scene.send("34").await;
    scene.receive("</body>").await;
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());
    scene.get("/").await;

    // And a tunnel is none of its business.
    scene
        .send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await;
    scene.receive("\r\n\r\n").await;
    for _ in 0..3 {
        sleep(long).await;
        scene.send("ping").await;
        scene.receive("ping").await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_is_closed_with_the_worker() {
    let mut scene = Scene::new(4096);
    scene.get("/").await;
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());
    scene.stage.send_replace(Stage::Leaving);
    sleep(A_WHILE).await;
    scene.get("/still").await;
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());
    scene.stage.send_replace(Stage::Closing);
    let told = Instant::now();
    scene.closed().await;
    assert_eq!(told.elapsed(), Duration::ZERO);

    // Unless a request has come before it heard of that.
    let mut scene = Scene::new(4096);
    scene.get("/").await;
    sleep(2 * A_WHILE).await;
    scene.send(get("/last")).await;
    scene.stage.send_replace(Stage::Closing);
    scene.receive("</last>").await;
    scene.closed().await;
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_on() {
    let mut scene = Scene::with(4096, Limits { requests: Some(3), ..Limits::default() });
    for path in ["/1", "/2"] {
        assert!(!scene.get(path).await.contains("connection: close"));
        sleep(2 * A_WHILE).await;
        assert!(scene.is_idle());
    }
    assert!(scene.get("/3").await.contains("connection: close"));
    scene.closed().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_its_client_closes_ends() {
    let mut scene = Scene::new(4096);
    scene.get("/").await;
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());
    drop(scene.client);
    assert!(scene.served.await.unwrap().is_ok());
}

/// A connection by TLS over a pipe, after its handshake.
#[cfg(feature = "tls")]
async fn tls() -> Scene<tokio_rustls::client::TlsStream<DuplexStream>> {
    use tokio_rustls::{
        TlsAcceptor, TlsConnector,
        rustls::{
            ClientConfig, RootCertStore, ServerConfig,
            crypto::aws_lc_rs::default_provider,
            pki_types::{PrivatePkcs8KeyDer, ServerName},
        },
    };

    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let ours = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let theirs = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, server) = duplex(4096);
    let name = ServerName::try_from("a.test").unwrap();
    let (connector, acceptor) =
        (TlsConnector::from(Arc::new(theirs)), TlsAcceptor::from(Arc::new(ours)));
    let (client, server) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
    let limits = Limits { head_timeout: HEAD_TIMEOUT, ..Limits::default() };
    Scene::over(client.unwrap(), server.unwrap(), limits)
}

/// A record has all of its bytes or none.
#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn nothing_of_a_record_is_lost() {
    let mut scene = tls().await;
    scene.get("/first").await;
    for records in [
        // Longer than what is read at once of one that waits, and several in one.
        vec![get(&format!("/{}", "x".repeat(6000)))],
        vec![["/1", "/2", "/3"].map(get).concat()],
        vec![get("/1") + "GET ", "/2 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()],
    ] {
        sleep(2 * A_WHILE).await;
        assert!(scene.is_idle());
        for record in &records {
            scene.send(record).await;
            sleep(3 * A_WHILE).await;
        }
        let all = records.concat();
        let last = all.split(' ').rev().nth(2).unwrap();
        let heard = scene.receive(&format!("<{last}>")).await;
        assert_eq!(heard.matches("200 OK").count(), all.matches("GET").count());
    }
    sleep(2 * A_WHILE).await;
    assert!(scene.is_idle());
    let began = Instant::now();
    // Which would be an error if it weren't told.
    scene.closed().await;
    assert!(began.elapsed() < HEAD_TIMEOUT);
}

#[cfg(not(lb_loom))]
#[test]
fn what_waits_takes_up_little() {
    use allocation_counter::measure;

    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let mut scene = runtime.block_on(async { Scene::new(4096) });
    let mut kept = |time| {
        let kept = measure(|| {
            runtime.block_on(async {
                scene.get("/").await;
                sleep(time).await;
            });
        });
        kept.bytes_current
    };
    assert!(kept(Duration::ZERO) > 16 << 10, "what hyper takes up");
    // Less than it took up before, by all but this.
    assert!(kept(2 * A_WHILE) < -(14 << 10));
    assert!(kept(2 * A_WHILE).abs() < 1024, "and no more from then on");
}
