//! Whether endpoints can be connected to.

use std::io;

use tokio::io::AsyncWriteExt;

use super::{Options, dial::dial, upstream::Upstream};
use crate::health::accepts;

/// Whether an endpoint lets a connection be made, which is closed at once: no request
/// is sent.
pub(super) async fn probe(upstream: &Upstream, options: &Options) -> io::Result<()> {
    let Upstream { address, transport, .. } = upstream;
    if !transport.protocol.is_tls() && transport.proxy_protocol.is_none() {
        return accepts(*address, options.connect_timeout).await;
    }
    let mut stream = dial(*address, transport, None, options).await?;
    // Else it would look as if somebody had cut the connection. Whether that gets there
    // is not what was asked.
    let _ = stream.shutdown().await;
    Ok(())
}

/// What is known of an endpoint after such an error.
pub(super) fn explain(upstream: &Upstream, error: &io::Error) -> String {
    format!("{} does not accept connections yet: {error}", upstream.address)
}

/// What may have to be changed.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::InvalidData => {
            "does it speak TLS there? That is set by VIRTUAL_PROTO or lb.proto, what is \
             verified by lb.upstream_verify and lb.upstream_name"
        }
        _ => "does it listen there? The port is set by VIRTUAL_PORT or lb.port",
    }
}
