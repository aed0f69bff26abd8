//! The client's side: TLS to upstreams.

use std::{
    error, fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{roots, scope::provider};

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verify {
    /// Those of the authorities that Mozilla's browsers believe, as of when this
    /// program was built. They are part of it, because an image with nothing but
    /// the program has no folder of authorities that could be read.
    #[default]
    Roots,
    /// Those of the authorities in this file (PEM), and of no other one. It is read
    /// when the connector is made.
    File(PathBuf),
    /// Anybody's: what is sent can be read and changed by whoever sits in between.
    Nothing,
}

/// How upstreams are spoken to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectorOptions {
    /// Whose certificates are believed; those of [`Verify::Roots`].
    pub verify: Verify,
    /// Whether the upstream is told the name it is asked for (SNI); yes. Addresses
    /// are never told.
    pub sni: bool,
    /// The protocols that are offered (ALPN), the preferred one first; `http/1.1`.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self { verify: Verify::default(), sni: true, alpn: vec![b"http/1.1".into()] }
    }
}

/// Makes TLS, version 1.2 or 1.3, of connections to upstreams. Clones share their
/// sessions.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl Connector {
    /// Behaves as these options say.
    ///
    /// # Errors
    ///
    /// The file of authorities can't be read or used.
    pub fn new(options: ConnectorOptions) -> Result<Self, ConnectorError> {
        let broken = |error: Error| ConnectorError::Unusable(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider().clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(broken)?;
        let builder = match &options.verify {
            Verify::Roots => builder.with_root_certificates(built_in()),
            Verify::File(file) => builder.with_root_certificates(authorities(file)?),
            Verify::Nothing => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(BelievesAnybody))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.enable_sni = options.sni;
        config.alpn_protocols = options.alpn;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The handshake with an upstream, whose certificate has to be for `name`: a
    /// host or an address. It may take as long as it takes.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: this is no name. `InvalidData`: the upstream's certificate
    /// isn't good, or it speaks nothing in common. Others are of the connection.
    pub async fn connect<IO>(&self, name: &str, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let error = format!("{name:?} is no name for TLS; give a host or an IP address");
            io::Error::new(io::ErrorKind::InvalidInput, error)
        })?;
        self.0.connect(name, io).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Why there is no [`Connector`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectorError {
    /// A file of authorities can't be used.
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// rustls can't use what it is given.
    Unusable(String),
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorities { file, what } => {
                write!(f, "{}: {what}; {}", file.display(), roots::REMEDY)
            }
            Self::Unusable(error) => write!(f, "no TLS to upstreams: {error}"),
        }
    }
}

impl error::Error for ConnectorError {}

fn built_in() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

fn authorities(file: &Path) -> Result<RootCertStore, ConnectorError> {
    let unusable = |what: String| ConnectorError::Authorities { file: file.to_owned(), what };
    let pem = fs::read(file).map_err(|error| unusable(error.to_string()))?;
    roots::parse(&pem).map_err(unusable)
}

/// Whoever it is has the key of the certificate, and that is all that is verified.
#[derive(Debug)]
struct BelievesAnybody;

impl ServerCertVerifier for BelievesAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
