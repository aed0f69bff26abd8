//! Sockets that wait for connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections the kernel may hold for us before we accept them.
const BACKLOG: u32 = 1024;

/// Rest after a failure to accept, such as having no file descriptor left, that
/// would otherwise repeat as fast as the processor allows.
const REST: Duration = Duration::from_millis(50);

/// A listening socket that outlives failures to accept.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address is in use, not this host's, or not permitted.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for the connections of its predecessor to
        // leave TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> TcpStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    /// Stops listening; returns the connections that clients had completed.
    ///
    /// The kernel completes connections on its own and resets those it still
    /// holds when the socket closes, although their clients may have sent a
    /// request already. Taking them first leaves only those that complete in the
    /// instant before closing.
    pub(crate) fn close(self) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        // Asked directly, the kernel tells what it has now, and not what the
        // runtime has heard of.
        let Ok(socket) = self.socket.into_std() else {
            return streams;
        };
        // The bound is for clients that connect as fast as we accept.
        for _ in 0..=BACKLOG {
            match socket.accept() {
                Ok((stream, _)) => streams.extend(into_tokio(stream)),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => break,
            }
        }
        streams
    }
}

fn into_tokio(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Whether the failure is that of a connection that broke before we took it,
/// and the next may be well.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Listener {
        Listener::bind(([127, 0, 0, 1], 0).into()).unwrap()
    }

    #[tokio::test]
    async fn port_zero_takes_a_free_port() {
        assert_ne!(listener().address().port(), 0);
    }

    #[tokio::test]
    async fn an_address_in_use_is_refused() {
        let listener = listener();
        let error = Listener::bind(listener.address()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn closing_returns_what_clients_completed() {
        let listener = listener();
        let address = listener.address();
        let clients: Vec<_> =
            (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(listener.close().len(), clients.len());
        std::net::TcpStream::connect(address).unwrap_err();
    }
}
