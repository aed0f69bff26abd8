use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::http::HeaderValue;

/// The client's side of a connection, as endpoints and the access log are told
/// of it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Who has connected.
    pub(super) address: Option<SocketAddr>,
    /// What was connected to.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "PROXY headers name it"))]
    pub(super) local: Option<SocketAddr>,
    pub(super) ip: HeaderValue,
    /// The port that was connected to.
    pub(super) port: HeaderValue,
    /// The number of the connection, counted from the start of the process, from 1; 0 of
    /// what came by none.
    pub(super) serial: u64,
    pub(super) requests: Requests,
    /// Whether it has come by TLS.
    pub(super) secure: bool,
    /// What its handshake with us has agreed on.
    #[cfg(feature = "tls")]
    pub(super) session: Option<crate::tls::Session>,
}

/// Requests of one connection, if anybody counts them.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<AtomicU64>);

impl Requests {
    /// The number of one that begins.
    pub(super) fn count(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Client {
    /// One whose connection gets the next number.
    pub(super) fn connected(peer: SocketAddr, local: Option<SocketAddr>) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Self { serial: SERIAL.fetch_add(1, Ordering::Relaxed), ..Self::new(Some(peer), local) }
    }

    /// `peer` is who connected, or would, `local` the address that was connected to.
    pub(super) fn new(peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        let unknown = || HeaderValue::from_static("unknown");
        Self {
            address: peer,
            local,
            ip: peer.map_or_else(unknown, |peer| value_of(peer.ip())),
            port: local.map_or(80, |local| local.port()).into(),
            serial: 0,
            requests: Requests::default(),
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

    /// Who has connected, and to what, if the former is known.
    #[cfg(feature = "server")]
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let peer = self.address?;
        let unspecified = match peer.ip().to_canonical() {
            IpAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            IpAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
        };
        Some((peer, self.local.unwrap_or(unspecified)))
    }
}

/// An address as headers have it.
pub(super) fn value_of(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_canonical().to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_are_counted() {
        let peer = SocketAddr::from(([10, 1, 2, 3], 5000));
        let first = Client::connected(peer, None).serial;
        assert_eq!(Client::new(Some(peer), None).serial, 0);
        // Other tests may connect meanwhile.
        assert!(0 < first && first < Client::connected(peer, None).serial);
    }
}
