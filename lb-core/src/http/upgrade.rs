//! Connections that stop being HTTP: WebSocket and whatever else both sides
//! agree on.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{body::Incoming, ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io;

use super::{
    body::{RequestBody, ResponseBody},
    exchange::Exchange,
};

const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Makes a request to speak something else on a stream of HTTP/2 (RFC 8441) the one
/// that HTTP/1.1 has for it; nothing of any other. What comes on the stream from then
/// on isn't the body of the request.
pub(super) fn from_stream(request: &mut Request<RequestBody>) -> bool {
    if request.method() != Method::CONNECT {
        return false;
    }
    let Some(protocol) = request.extensions_mut().remove::<Protocol>() else { return false };
    let Ok(protocol) = HeaderValue::from_str(protocol.as_str()) else { return false };
    *request.method_mut() = Method::GET;
    *request.body_mut() = RequestBody::empty();
    let headers = request.headers_mut();
    if protocol == "websocket" {
        // There is none on HTTP/2, as a cache can't mistake its streams.
        let nonce = BASE64_STANDARD.encode(fastrand::u128(..).to_be_bytes());
        if let Ok(nonce) = HeaderValue::try_from(nonce) {
            headers.insert(SEC_WEBSOCKET_KEY, nonce);
        }
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    true
}

/// Says that protocols are switched in the way of HTTP/2.
pub(super) fn to_stream(status: &mut StatusCode, headers: &mut HeaderMap) {
    *status = StatusCode::OK;
    headers.remove(SEC_WEBSOCKET_ACCEPT);
    headers.remove(header::CONNECTION);
    headers.remove(header::UPGRADE);
}

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
