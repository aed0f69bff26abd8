use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::{fmt, sync::Arc};

use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use crate::tls;

/// Where clients come in: one listener's address, and whether TLS is spoken there.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    pub(super) local: SocketAddr,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// How handshakes are made.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) acceptor: tls::Acceptor,
    pub(super) hosts: Arc<Hosts>,
}

/// What the host that a client names asks for.
#[cfg(feature = "tls")]
pub(super) type Hosts = dyn Fn(Option<&str>) -> tls::HostOptions + Send + Sync;

#[cfg(feature = "tls")]
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("acceptor", &self.acceptor).finish_non_exhaustive()
    }
}

/// What those are told who are too many, as HTTP/1 has it.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 58\r\n\
    retry-after: 1\r\nconnection: close\r\n\r\n\
    503 Service Unavailable: too many connections, come later\n";

impl Entrance {
    /// Tells a client that there are too many, where a word of HTTP is understood.
    pub(super) fn turn_away(&self, stream: &TcpStream) {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return;
        }
        // It may have gone, or not listen.
        let _ = stream.try_write(TOO_MANY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_many_is_told_in_whole() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(!head.contains("  "));
    }
}
