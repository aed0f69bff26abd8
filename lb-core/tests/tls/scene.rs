//! A folder of certificates, the acceptor that serves it, and clients.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lb_core::tls::{
    Accepted, Acceptor, AcceptorOptions, CertificateStore, ClientCertificates, HandshakeError,
    HostOptions, Report, Session, StoreOptions,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time,
};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{
        ClientConfig, Error, HandshakeKind, ProtocolVersion, RootCertStore,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
        version::{TLS12, TLS13},
    },
};

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

pub(crate) struct Signed {
    pub(crate) pem: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key_der: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new([]).unwrap();
        let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_| {})
    }

    pub(crate) fn sign_with(
        &self,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed {
            pem: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) store: CertificateStore,
    pub(crate) acceptor: Acceptor,
    pub(crate) hosts: Mutex<HashMap<String, HostOptions>>,
}

/// What a client saw of a handshake.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) resumed: bool,
    pub(crate) version: ProtocolVersion,
}

impl Scene {
    /// With these names in the folder, each a certificate for itself and what is
    /// below it.
    pub(crate) async fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {}, AcceptorOptions::default()).await
    }

    pub(crate) async fn with(
        names: &[&str],
        adjust: impl FnOnce(&mut StoreOptions),
        options: AcceptorOptions,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = StoreOptions::new(folder.path());
        store.interval = Duration::from_millis(10);
        adjust(&mut store);
        let (store, follower) = CertificateStore::open(store).unwrap();
        let acceptor = Acceptor::new(store.clone(), options);
        let authority = Authority::new();
        let scene = Self { folder, authority, store, acceptor, hosts: Mutex::default() };
        for name in names {
            scene.put(name);
        }
        tokio::spawn(follower.run());
        scene.wait_for(|report| report.synced).await;
        scene
    }

    /// Another certificate with its key under this name.
    pub(crate) fn put(&self, name: &str) -> Signed {
        let domain = name.trim_start_matches("*.").trim_start_matches("_.");
        let signed = self.authority.sign(&[domain, &format!("*.{domain}")]);
        self.write(&format!("{name}.crt"), &signed.pem);
        self.write(&format!("{name}.key"), &signed.key);
        signed
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        write(&self.path(file), content.as_ref());
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    /// What is in force once a change has been noticed.
    pub(crate) async fn wait_for(&self, wanted: impl FnMut(&Report) -> bool) -> Report {
        let report = time::timeout(Duration::from_secs(30), self.store.wait_for(wanted)).await;
        report.unwrap_or_else(|_| panic!("{:#?}", self.store.report()))
    }

    pub(crate) fn host(&self, host: &str, set: impl FnOnce(&mut HostOptions)) {
        let mut hosts = self.hosts.lock().unwrap();
        set(hosts.entry(host.to_owned()).or_default());
    }

    pub(crate) fn demand(&self, host: &str, demand: ClientCertificates) {
        self.host(host, |options| options.client_certificates = Some(demand));
    }

    pub(crate) fn options(&self, host: Option<&str>) -> HostOptions {
        self.hosts.lock().unwrap().get(host.unwrap_or_default()).cloned().unwrap_or_default()
    }

    pub(crate) async fn accept(
        &self,
        io: DuplexStream,
    ) -> Result<Accepted<DuplexStream>, HandshakeError> {
        self.acceptor.accept(io, |host| self.options(host)).await
    }

    /// A client that shows no certificate.
    pub(crate) fn client(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).unwrap();
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    pub(crate) fn old_client(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    pub(crate) fn client_with(&self, shown: &Signed) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).unwrap();
        let (chain, key) = (vec![shown.der.clone()], shown.key_der.clone_key());
        builder.with_root_certificates(self.roots()).with_client_auth_cert(chain, key).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.0.der().clone()).unwrap();
        roots
    }

    /// A handshake and a few bytes after it: what the client saw and what the
    /// server agreed to.
    pub(crate) async fn meet(
        &self,
        client: &Arc<ClientConfig>,
        name: &str,
    ) -> (Result<Seen, Error>, Result<Session, HandshakeError>) {
        let (near, far) = duplex(1 << 16);
        let server = async {
            let mut accepted = self.accept(far).await?;
            accepted.stream.write_all(b"ok").await?;
            accepted.stream.shutdown().await?;
            Ok(accepted.session)
        };
        tokio::join!(see(client, name, near), server)
    }

    /// The certificate that a client is shown who asks for this host.
    pub(crate) async fn shown(&self, host: &str) -> Result<CertificateDer<'static>, Error> {
        let (seen, _) = self.meet(&Arc::new(self.client()), host).await;
        seen.map(|seen| seen.certificate)
    }
}

/// All of it at once, readable by nobody else.
pub(crate) fn write(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt;

    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(beside, path).unwrap();
}

pub(crate) async fn connect(
    client: &Arc<ClientConfig>,
    name: &str,
    io: DuplexStream,
) -> Result<client::TlsStream<DuplexStream>, Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(client.clone()).connect(name, io).await.map_err(reason)
}

async fn see(client: &Arc<ClientConfig>, name: &str, io: DuplexStream) -> Result<Seen, Error> {
    let mut stream = connect(client, name, io).await?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.map_err(reason)?;
    assert_eq!(heard, b"ok");
    let (_, connection) = stream.get_ref();
    Ok(Seen {
        certificate: connection.peer_certificates().unwrap()[0].clone(),
        alpn: connection.alpn_protocol().map(Into::into),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        version: connection.protocol_version().unwrap(),
    })
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn reason(error: std::io::Error) -> Error {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    inner.cloned().unwrap_or_else(|| panic!("{error:?}"))
}
