//! The server's side: handshakes with whatever certificate the client's host has.

use std::{
    error, fmt, io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time,
};
use tokio_rustls::{
    LazyConfigAcceptor, StartHandshake,
    rustls::{
        AlertDescription, CipherSuite, ContentType, HandshakeKind, ProtocolVersion, ServerConfig,
        server,
    },
    server::TlsStream,
};

use super::{
    CertificateStore, Challenges, ClientCertificates, Policy, challenges::ACME_TLS, expiry,
    scope::Scope,
};

/// How an [`Acceptor`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcceptorOptions {
    /// The protocols that are offered (ALPN, RFC 7301), the preferred one first;
    /// `h2`, `http/1.1`. A client that names none of them is refused, one that
    /// names no protocol at all is not.
    pub alpn: Vec<Vec<u8>>,
    /// The versions of TLS for hosts that ask for none;
    /// [`Intermediate`](Policy::Intermediate).
    pub policy: Policy,
    /// How long a handshake may take in whole; 10 s.
    pub handshake_timeout: Duration,
    /// What ACME servers are answered; nothing, as there are none.
    pub challenges: Challenges,
}

impl Default for AcceptorOptions {
    fn default() -> Self {
        Self {
            alpn: vec![b"h2".into(), b"http/1.1".into()],
            policy: Policy::default(),
            handshake_timeout: Duration::from_secs(10),
            challenges: Challenges::default(),
        }
    }
}

/// What a host asks for, beside what the folder says by its files' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOptions {
    /// The name of the certificate, as the variable `CERT_NAME` has it: `shared` for
    /// `shared.crt`. If there is none by this name, the host has no certificate. None:
    /// it is found by the host's name.
    pub certificate: Option<Arc<str>>,
    /// Whether `default.crt` will do though it [isn't trusted]: where all that clients
    /// are to be told is that they are wrong here.
    ///
    /// [isn't trusted]: super::StoreOptions::trust_default
    pub any_default: bool,
    /// Whether clients are asked for certificates; [`Required`] if there are
    /// authorities for the host, else [`Off`].
    ///
    /// [`Required`]: ClientCertificates::Required
    /// [`Off`]: ClientCertificates::Off
    pub client_certificates: Option<ClientCertificates>,
    /// The versions of TLS; those of [`AcceptorOptions::policy`].
    pub policy: Option<Policy>,
}

/// Makes TLS of connections, with the certificates of a store. Clones share all of
/// it, and so do their sessions.
#[derive(Clone, Debug)]
pub struct Acceptor {
    store: CertificateStore,
    options: Arc<AcceptorOptions>,
    #[cfg(feature = "http")]
    handshakes: Arc<crate::metrics::Handshakes>,
}

impl Acceptor {
    /// With the certificates of this store, those that are still to come, too.
    pub fn new(store: CertificateStore, options: AcceptorOptions) -> Self {
        Self {
            store,
            options: Arc::new(options),
            #[cfg(feature = "http")]
            handshakes: Arc::new(crate::metrics::Handshakes::new()),
        }
    }

    /// The handshake with a client. `host` is asked once for the host the client
    /// names, in small letters, if it names one.
    ///
    /// # Errors
    ///
    /// The client has been told by then, if there was a way. Nothing of it is an
    /// error of the server, but what [`HandshakeError::NoAuthorities`] tells; and
    /// [`HandshakeError::Challenge`] is an error of nobody.
    pub async fn accept<IO>(
        &self,
        io: IO,
        host: impl FnOnce(Option<&str>) -> HostOptions,
    ) -> Result<Accepted<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        #[cfg(feature = "http")]
        let began = crate::clock::now();
        let handshake = self.handshake(io, host);
        let done = time::timeout(self.options.handshake_timeout, handshake).await;
        let done = done.unwrap_or(Err(HandshakeError::TimedOut));
        #[cfg(feature = "http")]
        self.handshakes.count(done.as_ref().map(|accepted| accepted.session.resumed()), began);
        done
    }

    async fn handshake<IO>(
        &self,
        io: IO,
        host: impl FnOnce(Option<&str>) -> HostOptions,
    ) -> Result<Accepted<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(server::Acceptor::default(), io).await?;
        // rustls has made its letters small.
        let server_name = hello.client_hello().server_name().map(rooted).map(Arc::<str>::from);
        if let Some(host) = &server_name
            && only(hello.client_hello().alpn(), ACME_TLS)
            && let Some(config) = self.options.challenges.tls_alpn01(host)
        {
            let config = config.map_err(io::Error::other)?;
            let mut stream = hello.into_stream(Arc::new(config)).await?;
            // All there was to know is in the certificate; who has left needn't be told.
            let _ = stream.shutdown().await;
            return Err(HandshakeError::Challenge { server_name: host.to_string() });
        }
        let options = host(server_name.as_deref());
        let (config, scope) = match self.choose(server_name.as_deref(), &options) {
            Ok(choice) => choice,
            Err((alert, error)) => {
                refuse(hello, alert).await;
                return Err(error);
            }
        };
        let stream = hello.into_stream(Arc::new(config)).await?;
        let (_, connection) = stream.get_ref();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        // Who resumes is given a new ticket, again and again.
        let shown = connection.peer_certificates().filter(|_| resumed);
        if shown
            .is_some_and(|chain| chain.iter().any(|one| !expiry::is_valid(one, SystemTime::now())))
        {
            let error = "the client's certificate has expired since its session began";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error).into());
        }
        let session = Session {
            server_name,
            alpn: connection.alpn_protocol().map(Arc::from),
            resumed,
            version: connection.protocol_version(),
            cipher: connection.negotiated_cipher_suite().map(|suite| suite.suite()),
            scope,
        };
        Ok(Accepted { stream, session })
    }

    fn choose(
        &self,
        server_name: Option<&str>,
        host: &HostOptions,
    ) -> Result<(ServerConfig, Arc<Scope>), (AlertDescription, HandshakeError)> {
        let snapshot = self.store.snapshot();
        let named = || server_name.map(str::to_owned);
        let (name, pair) = snapshot
            .certificate(server_name, host.certificate.as_deref(), host.any_default)
            .ok_or_else(|| {
                let error = HandshakeError::NoCertificate { server_name: named() };
                (AlertDescription::UnrecognisedName, error)
            })?;
        let scope = snapshot
            .scope(server_name, Some(name), host.client_certificates)
            .map_err(|_| {
                let error = HandshakeError::NoAuthorities { server_name: named() };
                (AlertDescription::InternalError, error)
            })?
            .unwrap_or_else(|| self.store.open_scope().clone());
        let policy = host.policy.unwrap_or(self.options.policy);
        let key = pair.key(SystemTime::now()).clone();
        Ok((scope.config(policy, &self.options.alpn, key), scope))
    }

    /// Whether there is a certificate for a host, given in any case, with these options
    /// of it.
    pub fn has_certificate(&self, host: &str, options: &HostOptions) -> bool {
        self.find(host, options, |found| found.is_some())
    }

    /// The name of the certificate for a host, given in any case, with these options of
    /// it, if there is one.
    pub fn certificate(&self, host: &str, options: &HostOptions) -> Option<String> {
        self.find(host, options, |found| found.map(str::to_owned))
    }

    fn find<T>(
        &self,
        host: &str,
        options: &HostOptions,
        then: impl FnOnce(Option<&str>) -> T,
    ) -> T {
        let host = rooted(host).to_ascii_lowercase();
        let (asked_for, any_default) = (options.certificate.as_deref(), options.any_default);
        let snapshot = self.store.snapshot();
        then(snapshot.certificate(Some(&host), asked_for, any_default).map(|(name, _)| name))
    }

    /// Whether who has no certificate gets to a host, given in any case, by no handshake
    /// with these options of it.
    pub fn demands_certificate(&self, host: &str, options: &HostOptions) -> bool {
        let demand = options.client_certificates;
        if matches!(demand, Some(ClientCertificates::Off | ClientCertificates::Optional)) {
            return false;
        }
        let host = rooted(host).to_ascii_lowercase();
        let snapshot = self.store.snapshot();
        let certificate =
            snapshot.certificate(Some(&host), options.certificate.as_deref(), options.any_default);
        let certificate = certificate.map(|(name, _)| name);
        !matches!(snapshot.scope(Some(&host), certificate, demand), Ok(None))
    }

    /// Whether a request for this host, with these options of it, may be answered
    /// on a connection.
    ///
    /// It may if the client named this host in the handshake, or if the host
    /// demands of its clients what that handshake demanded, and no later version. Others are to be
    /// answered with 421 (RFC 9110, section 15.5.20), so that they come again on
    /// a connection of their own: who showed no certificate to one host would
    /// else get to another one that demands it.
    pub fn allows(&self, session: &Session, host: &str, options: &HostOptions) -> bool {
        let host = rooted(host).to_ascii_lowercase();
        if session.server_name() == Some(&host) {
            return true;
        }
        let policy = options.policy.unwrap_or(self.options.policy);
        if policy == Policy::Modern && session.version != Some(ProtocolVersion::TLSv1_3) {
            return false;
        }
        let snapshot = self.store.snapshot();
        let certificate =
            snapshot.certificate(Some(&host), options.certificate.as_deref(), options.any_default);
        let certificate = certificate.map(|(name, _)| name);
        match snapshot.scope(Some(&host), certificate, options.client_certificates) {
            Ok(Some(scope)) => Arc::ptr_eq(&scope, &session.scope),
            Ok(None) => true,
            Err(_) => false,
        }
    }
}

/// A connection after its handshake.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted<IO> {
    /// Write and read here.
    pub stream: TlsStream<IO>,
    /// What was agreed on.
    pub session: Session,
}

/// What a handshake has agreed on. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Session {
    server_name: Option<Arc<str>>,
    alpn: Option<Arc<[u8]>>,
    resumed: bool,
    version: Option<ProtocolVersion>,
    cipher: Option<CipherSuite>,
    scope: Arc<Scope>,
}

impl Session {
    /// The host the client named (SNI, RFC 6066, section 3), in small letters.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The protocol that was chosen: one of [`AcceptorOptions::alpn`].
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Whether an earlier session was resumed.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The version of TLS: `TLSv1.3` or `TLSv1.2`, as nginx writes it.
    pub fn version(&self) -> Option<&'static str> {
        match self.version? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The cipher suite, by the name that OpenSSL has for it, as nginx writes it.
    pub fn cipher(&self) -> Option<&'static str> {
        Some(match self.cipher? {
            CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
            CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
                "ECDHE-ECDSA-CHACHA20-POLY1305"
            }
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
            CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
                "ECDHE-RSA-CHACHA20-POLY1305"
            }
            other => other.as_str()?,
        })
    }
}

/// Why a connection has not become one of TLS.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// There is no certificate for the host. The client was sent the alert
    /// `unrecognized_name`.
    NoCertificate {
        /// The host, if the client named one.
        server_name: Option<String>,
    },
    /// The host is to ask for client certificates, and there are no authorities
    /// for it that could be read. The client was sent the alert `internal_error`.
    NoAuthorities {
        /// The host, if the client named one.
        server_name: Option<String>,
    },
    /// It was an ACME server, which asked whether the host is served here, and was
    /// told so ([`AcceptorOptions::challenges`]). Nothing is wrong.
    Challenge {
        /// The host.
        server_name: String,
    },
    /// It took longer than [`AcceptorOptions::handshake_timeout`].
    TimedOut,
    /// The client has left, speaks no version or protocol in common, has no
    /// certificate that is good, or doesn't speak TLS.
    Failed(io::Error),
}

impl HandshakeError {
    /// Whether the client has merely left: probes do no more than connect.
    #[cfg(any(feature = "http", feature = "server"))]
    pub(crate) fn has_left(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let left = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
        matches!(self, Self::Failed(error) if left.contains(&error.kind()))
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |name: &Option<String>| match name {
            Some(name) => format!("{name:?}"),
            None => "clients that name no host".to_owned(),
        };
        match self {
            Self::NoCertificate { server_name } => {
                let named = named(server_name);
                write!(f, "no certificate for {named}; add one, or a default that is trusted")
            }
            Self::NoAuthorities { server_name } => {
                let named = named(server_name);
                write!(f, "no authorities for the clients of {named}; add a .ca.crt or ca.crt")
            }
            Self::Challenge { server_name } => {
                write!(f, "an ACME server was shown that {server_name:?} is served here")
            }
            Self::TimedOut => f.write_str("the client took too long for its handshake"),
            Self::Failed(error) => write!(f, "no handshake: {error}"),
        }
    }
}

impl error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// Whether this is the one protocol that is offered, as an ACME server does it (RFC
/// 8737, section 3).
fn only<'a>(offered: Option<impl Iterator<Item = &'a [u8]>>, protocol: &[u8]) -> bool {
    offered.is_some_and(|offered| offered.eq([protocol]))
}

/// A name without the dot that some write at its end, for the root.
fn rooted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Ends a handshake of which nothing but the client's hello was read. rustls would
/// say `access_denied` for want of a certificate, so the alert is written here: a
/// record of its own, which is not encrypted yet (RFC 8446, sections 5.1 and 6).
async fn refuse<IO>(hello: StartHandshake<IO>, alert: AlertDescription)
where
    IO: AsyncWrite + Unpin,
{
    const VERSION: [u8; 2] = [3, 3];
    const LENGTH: [u8; 2] = [0, 2];
    const FATAL: u8 = 2;
    let record =
        [&[ContentType::Alert.into()], &VERSION[..], &LENGTH, &[FATAL, alert.into()]].concat();
    let mut io = hello.io;
    // Who has left needn't be told.
    if io.write_all(&record).await.is_ok() {
        let _ = io.shutdown().await;
    }
}
