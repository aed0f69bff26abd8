use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that wait to be accepted, for each listener.
pub(super) const BACKLOG: i32 = 4096;

/// Takes the listener that is bound to exactly this address out of `open`.
///
/// Port 0 asks for any port and so for none of those.
pub fn adopt(address: SocketAddr, open: &mut Vec<TcpListener>) -> Option<TcpListener> {
    let at = open
        .iter()
        .position(|listener| listener.local_addr().is_ok_and(|bound| bound == address))?;
    Some(open.swap_remove(at))
}

pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process takes its address again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    prepare(socket.into())
}

/// Sets what accepted connections inherit: answers go out as soon as they are
/// there; clients that have vanished are noticed.
pub(super) fn prepare(listener: TcpListener) -> io::Result<TcpListener> {
    let socket = SockRef::from(&listener);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    socket.set_tcp_keepalive(&keepalive.with_interval(Duration::from_secs(15)))?;
    socket.set_nonblocking(true)?;
    Ok(listener)
}
