//! Ports that refuse connections, and that nobody else is given.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A port of this test's own until it is dropped: whoever is told its address can listen
/// there, more than once, one after the other.
pub(crate) struct Reserved(TcpSocket);

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Two that say so can be bound to the same, as long as neither listens.
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn listen(self) -> TcpListener {
        self.0.listen(64).unwrap()
    }
}
