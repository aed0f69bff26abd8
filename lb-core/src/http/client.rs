use std::net::{IpAddr, SocketAddr};

use ::http::HeaderValue;

/// The client's side of a connection, as endpoints and the access log are told
/// of it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Who has connected.
    pub(super) address: Option<SocketAddr>,
    pub(super) ip: HeaderValue,
    /// The port that was connected to.
    pub(super) port: HeaderValue,
    /// Whether it has come by TLS.
    pub(super) secure: bool,
    /// What its handshake with us has agreed on.
    #[cfg(feature = "tls")]
    pub(super) session: Option<crate::tls::Session>,
}

impl Client {
    /// `peer` is who connected, `local` the address that was connected to.
    pub(super) fn new(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        let unknown = || HeaderValue::from_static("unknown");
        Self {
            address: peer,
            ip: peer.map_or_else(unknown, |peer| value_of(peer.ip())),
            port: local.map_or(80, |local| local.port()).into(),
            secure: false,
            #[cfg(feature = "tls")]
            session: None,
        }
    }
}

impl Client {
    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// An address as headers have it.
pub(super) fn value_of(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_canonical().to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
