//! Connections that stop being HTTP: WebSocket and whatever else both sides
//! agree on.

use std::sync::Arc;

use ::http::Response;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io;

use super::{body::ResponseBody, exchange::Exchange};

/// Answers 101 and then carries bytes both ways until both sides have closed.
/// The exchange lasts as long as the tunnel: it is load, and it is logged when
/// it ends.
pub(super) fn tunnel(
    response: Response<Incoming>,
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut exchange: Exchange,
    guard: Option<Arc<dyn Send + Sync>>,
) -> Response<ResponseBody> {
    tokio::spawn(async move {
        let _guard = guard;
        let ends = tokio::try_join!(client, upstream);
        if let Ok((client, upstream)) = ends {
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            // Either side may break off at any time; that is how tunnels end.
            if let Ok((_, down)) = io::copy_bidirectional(&mut client, &mut upstream).await {
                exchange.sent(usize::try_from(down).unwrap_or(usize::MAX));
            }
        }
        exchange.finish(false);
    });
    response.map(|_| ResponseBody::empty())
}
