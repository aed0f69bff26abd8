//! A folder of certificates, the servers that show them and answer challenges, and a
//! manager that orders.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lb_core::{
    acme::{HostReport, Manager, Options, Report, State},
    tls::{
        Acceptor, AcceptorOptions, CertificateStore, Challenges, Connector, ConnectorOptions,
        HandshakeError, HostOptions, StoreOptions, Verify,
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy, split},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time,
};
use tokio_rustls::{
    client::TlsStream,
    rustls::pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    BROKEN,
    pebble::{self, Pebble, Setup},
};

/// Nothing takes as long.
const BOUND: Duration = Duration::from_secs(120);

pub(crate) struct Scene {
    folder: TempDir,
    store: CertificateStore,
    pub(crate) challenges: Challenges,
    pub(crate) http: Arc<Http>,
    pub(crate) tls: Arc<Tls>,
    tls_port: u16,
    pebble: Pebble,
}

impl Scene {
    /// None if there is no pebble.
    pub(crate) async fn start(setup: Setup) -> Option<Self> {
        if !pebble::is_installed() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(folder.path());
        options.interval = Duration::from_millis(10);
        let (store, follower) = CertificateStore::open(options).unwrap();
        tokio::spawn(follower.run());

        let challenges = Challenges::default();
        let mut options = AcceptorOptions::default();
        options.challenges = challenges.clone();
        let acceptor = Acceptor::new(store.clone(), options);
        let (http_listener, http_port) = listen().await;
        let (tls_listener, tls_port) = listen().await;
        let (http, tls) = (Arc::<Http>::default(), Arc::<Tls>::default());
        tokio::spawn(http.clone().run(http_listener, challenges.clone()));
        tokio::spawn(tls.clone().run(tls_listener, acceptor));
        let pebble = Pebble::start(setup, http_port, tls_port).await;
        Some(Self { folder, store, challenges, http, tls, tls_port, pebble })
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A certificate that somebody else has put there.
    pub(crate) fn put_other(&self, host: &str) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        fs::write(self.path(&format!("{host}.crt")), made.cert.pem()).unwrap();
        fs::write(self.path(&format!("{host}.key")), made.signing_key.serialize_pem()).unwrap();
    }

    /// What is in the folder for a host.
    pub(crate) fn leaf(&self, host: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{host}.crt"))).unwrap()
    }

    /// What a client is shown that believes who has issued the certificate in the
    /// folder, once the store serves it.
    pub(crate) async fn shown(&self, host: &str) -> CertificateDer<'static> {
        let served =
            self.store.wait_for(|report| report.certificates.iter().any(|one| one.name == host));
        time::timeout(BOUND, served).await.unwrap();
        let chain = fs::read_to_string(self.path(&format!("{host}.crt"))).unwrap();
        let (_, issuer) = chain.trim_start_matches('-').split_once("-----BEGIN").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, format!("-----BEGIN{issuer}")).unwrap();
        let (_, shown) = self.connect(host, Verify::File(file.path().into())).await;
        shown
    }

    pub(crate) async fn connect_unverified(
        &self,
        host: &str,
    ) -> (TlsStream<TcpStream>, CertificateDer<'static>) {
        self.store.wait_for(|report| !report.certificates.is_empty()).await;
        self.connect(host, Verify::Nothing).await
    }

    async fn connect(
        &self,
        host: &str,
        verify: Verify,
    ) -> (TlsStream<TcpStream>, CertificateDer<'static>) {
        let mut options = ConnectorOptions::default();
        options.verify = verify;
        let stream = TcpStream::connect(("127.0.0.1", self.tls_port)).await.unwrap();
        let stream = Connector::new(options).unwrap().connect(host, stream).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        (stream, shown)
    }

    /// Waits until the store serves something else.
    pub(crate) async fn store_changes(&self) {
        let before = self.store.certificates();
        let changed = self.store.wait_for(|report| report.certificates != before);
        time::timeout(BOUND, changed).await.unwrap();
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A manager at work.
pub(crate) fn order(scene: &Scene, set: impl FnOnce(&mut Options)) -> (Manager, JoinHandle<()>) {
    let mut options = Options::default();
    options.directory = scene.pebble.directory.clone();
    options.verify = Verify::File(scene.pebble.authority.clone());
    options.terms_accepted = true;
    options.contacts = vec!["me@example.test".into()];
    set(&mut options);
    let (manager, driver) =
        Manager::new(options, scene.store.clone(), scene.challenges.clone()).unwrap();
    (manager, tokio::spawn(driver.run()))
}

pub(crate) async fn wait_for(manager: &Manager, wanted: impl FnMut(&Report) -> bool) -> Report {
    let report = time::timeout(BOUND, manager.wait_for(wanted)).await;
    report.unwrap_or_else(|_| panic!("{:#?}", manager.report()))
}

pub(crate) fn host<'a>(report: &'a Report, host: &str) -> Option<&'a HostReport> {
    report.hosts.iter().find(|of| of.host == host)
}

pub(crate) fn state<'a>(report: &'a Report, name: &str) -> Option<&'a State> {
    host(report, name).map(|of| &of.state)
}

/// Answers HTTP-01, but for the broken host.
#[derive(Default)]
pub(crate) struct Http {
    tokens: Mutex<Vec<String>>,
}

impl Http {
    /// Those that were asked for.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }

    async fn run(self: Arc<Self>, listener: TcpListener, challenges: Challenges) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0 {}
            let path = head.split(' ').nth(1).unwrap();
            let token = path.strip_prefix(Challenges::HTTP01_PATH).unwrap();
            self.tokens.lock().unwrap().push(token.to_owned());
            let answer = challenges.http01(token).filter(|_| !head.contains(BROKEN));
            let (status, body) = match &answer {
                Some(answer) => ("200 OK", &**answer),
                None => ("404 Not Found", ""),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// Sends back what it gets, after a handshake by the acceptor.
#[derive(Default)]
pub(crate) struct Tls {
    challenges: AtomicUsize,
    other_errors: Mutex<Vec<String>>,
}

impl Tls {
    /// How often an ACME server was answered.
    pub(crate) fn challenges(&self) -> usize {
        self.challenges.load(Ordering::SeqCst)
    }

    pub(crate) fn other_errors(&self) -> Vec<String> {
        self.other_errors.lock().unwrap().clone()
    }

    async fn run(self: Arc<Self>, listener: TcpListener, acceptor: Acceptor) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                match acceptor.accept(stream, |_| HostOptions::default()).await {
                    Ok(accepted) => {
                        let (mut read, mut write) = split(accepted.stream);
                        let _ = copy(&mut read, &mut write).await;
                    }
                    Err(HandshakeError::Challenge { .. }) => {
                        seen.challenges.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => seen.other_errors.lock().unwrap().push(error.to_string()),
                }
            });
        }
    }
}
