//! Sockets that the service manager has opened: systemd's socket activation.

use std::net::TcpListener;

use anyhow::Context;
use listenfd::ListenFd;

/// Takes them, and their variables out of the environment: call it before there
/// are threads.
pub(crate) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut inherited = ListenFd::from_env();
    let count = inherited.len();
    let mut take = |at| {
        inherited.take_tcp_listener(at).with_context(|| {
            format!("socket {} of LISTEN_FDS: have ListenStream= name a PORT or IP:PORT", at + 1)
        })
    };
    let sockets = (0..count).map(&mut take).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(sockets.into_iter().flatten().collect())
}
