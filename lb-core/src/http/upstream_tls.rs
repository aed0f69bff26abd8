use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{net::TcpStream, time};
use tokio_rustls::{
    client::TlsStream,
    rustls::{Error, InvalidMessage},
};

use crate::{
    registry::{Transport, Verification},
    tls::{Connector, ConnectorError, ConnectorOptions, Verify},
};

/// How TLS is spoken to endpoints (feature `tls`).
///
/// Sessions are resumed, by all workers, with whoever serves the same name.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    usual: Verification,
    timeout: Duration,
    off: Connectors,
    webpki: Connectors,
    ca: Option<Connectors>,
}

/// One for each protocol, as it is agreed upon in the handshake.
#[derive(Clone, Debug)]
struct Connectors {
    http1: Connector,
    http2: Connector,
}

impl Connectors {
    fn new(verify: &Verify) -> Result<Self, ConnectorError> {
        let connector = |alpn: &[u8]| {
            let (verify, alpn) = (verify.clone(), vec![alpn.to_vec()]);
            Connector::new(ConnectorOptions { verify, alpn, ..ConnectorOptions::default() })
        };
        Ok(Self { http1: connector(b"http/1.1")?, http2: connector(H2)? })
    }
}

const H2: &[u8] = b"h2";

impl UpstreamTls {
    /// Endpoints that ask for no verification of their own get `usual`. The authorities
    /// of [`Verification::Ca`] are in the file `ca` (PEM), which is read now; without
    /// one, endpoints that ask for them can't be connected to.
    ///
    /// # Errors
    ///
    /// The file can't be read or used.
    pub fn new(usual: Verification, ca: Option<&Path>) -> Result<Self, ConnectorError> {
        let file = |ca: &Path| Connectors::new(&Verify::File(ca.to_owned()));
        Ok(Self {
            usual,
            timeout: Duration::from_secs(5),
            off: Connectors::new(&Verify::Nothing)?,
            webpki: Connectors::new(&Verify::Roots)?,
            ca: ca.map(file).transpose()?,
        })
    }

    /// How long a handshake may take, once the endpoint has accepted the connection;
    /// 5 s. It takes processor time of the endpoint, which may be busy.
    #[must_use]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// What endpoints get that ask for no verification of their own.
    pub fn usual(&self) -> Verification {
        self.usual
    }

    /// The handshake with an endpoint at `address`. An error of the kind `InvalidData`
    /// says why there is no TLS.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        transport: &Transport,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connectors = match transport.verification.unwrap_or(self.usual) {
            Verification::Off => &self.off,
            Verification::Webpki => &self.webpki,
            Verification::Ca => self.ca.as_ref().ok_or_else(|| {
                failed("it is to be verified by `ca`, and the proxy was given no authorities")
            })?,
        };
        let http2 = transport.protocol.is_http2();
        let connector = if http2 { &connectors.http2 } else { &connectors.http1 };
        let ip;
        let name = match &transport.server_name {
            Some(name) => name.as_str(),
            None => {
                ip = address.ip().to_string();
                &ip
            }
        };
        let limit = self.timeout;
        let stream = time::timeout(limit, connector.connect(name, stream))
            .await
            .map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, format!("no TLS handshake in {limit:?}"))
            })?
            .map_err(|error| match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                    failed("what it answers isn't TLS")
                }
                _ => failed(&error.to_string()),
            })?;
        if http2 && stream.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(failed("it doesn't agree to speak HTTP/2 (ALPN)"));
        }
        Ok(stream)
    }
}

fn failed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no TLS handshake: {why}"))
}
