//! Connections to the engine: a new one for each request, so that none is ever
//! made to a socket that the engine has since replaced.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bollard::BollardRequest;
use http::{HeaderValue, Response, Uri, header::HOST};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::{EngineError, other};
use crate::options::{EngineAddress, Options};

/// Sends requests to one engine.
#[derive(Clone)]
pub(super) struct Transport {
    opener: Arc<Opener>,
    /// `/v1.41`, once it is agreed upon.
    prefix: Arc<str>,
}

impl Transport {
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener: Arc::new(opener), prefix: "".into() }
    }

    /// The same, at this version of the API.
    pub(super) fn at_version(self, version: &str) -> Self {
        Self { prefix: format!("/v{version}").into(), ..self }
    }

    pub(super) fn address(&self) -> String {
        self.opener.address.to_string()
    }

    /// Sends a request, and gives its answer out as soon as that begins.
    pub(super) async fn send(&self, mut request: BollardRequest) -> io::Result<Response<Incoming>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(format!("{}{path}", self.prefix)).map_err(other)?;
        self.send_unversioned(request).await
    }

    /// Sends a request for just the path that it names.
    pub(super) async fn send_unversioned(
        &self,
        mut request: BollardRequest,
    ) -> io::Result<Response<Incoming>> {
        request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
        let stream = TokioIo::new(self.opener.open().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(other)?;
        // It ends with the answer's body, or when that is dropped; what goes
        // wrong shows there.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        sender.send_request(request).await.map_err(other)
    }

    /// What it means that no connection was made.
    pub(super) fn explain(&self, error: io::Error) -> EngineError {
        let address = &self.opener.address;
        match (address, error.kind()) {
            (EngineAddress::Unix(path), io::ErrorKind::NotFound) => {
                EngineError::NoSocket(vec![path.clone()])
            }
            (EngineAddress::Unix(path), io::ErrorKind::PermissionDenied) => {
                let gid = path.metadata().ok().map(|socket| socket.gid());
                EngineError::Forbidden { path: path.clone(), gid }
            }
            _ => EngineError::Unreachable { address: address.to_string(), source: error },
        }
    }
}

/// Opens connections to one address.
pub(super) struct Opener {
    address: EngineAddress,
    tls: Option<TlsConnector>,
}

impl Opener {
    /// Of the engine that is asked for, or else of the first that is there.
    pub(super) fn find(options: &Options) -> Result<Self, EngineError> {
        let address = match &options.address {
            Some(address) => address.clone(),
            None => match options.sockets.iter().find(|path| path.exists()) {
                Some(path) => EngineAddress::Unix(path.clone()),
                None => return Err(EngineError::NoSocket(options.sockets.clone())),
            },
        };
        let tls = match &address {
            EngineAddress::Tls { certificates, .. } => Some(connector(certificates)?),
            EngineAddress::Unix(_) | EngineAddress::Tcp { .. } => None,
        };
        Ok(Self { address, tls })
    }

    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let (host, port) = match &self.address {
            EngineAddress::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            EngineAddress::Tcp { host, port } | EngineAddress::Tls { host, port, .. } => {
                (host, *port)
            }
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

/// A connection of any kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn connector(directory: &Path) -> Result<TlsConnector, EngineError> {
    let file = |name| directory.join(name);
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));

    let mut roots = RootCertStore::empty();
    for root in certificates(&ca)? {
        roots.add(root).map_err(|error| unusable(&ca, &error))?;
    }
    let chain = certificates(&cert)?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, &error))?;
    // Named, because rustls can't guess in a program that has another one in it, too.
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&cert, &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, secret)
        .map_err(|error| unusable(&cert, &error))?;
    Ok(Arc::new(config).into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> EngineError {
    EngineError::Certificate { path: PathBuf::from(path), reason: super::chain(error) }
}
