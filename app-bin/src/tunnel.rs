//! `Upgrade: echo`: a connection that becomes a byte pipe and back.

use hyper::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;

use crate::lifecycle::Member;

/// The protocol a client asks to upgrade to.
const PROTOCOL: &str = "echo";

/// Whether a request asks for the tunnel: both headers are there, and the
/// version has upgrades.
pub(crate) fn is_wanted<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && has_token(request.headers(), &UPGRADE, PROTOCOL)
        && has_token(request.headers(), &CONNECTION, "upgrade")
}

/// The answer that opens the tunnel.
pub(crate) fn switch<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

/// Sends back what comes in, until the client ends its side or the server
/// stops. A drain waits for it.
pub(crate) async fn echo(upgrade: OnUpgrade, mut member: Member) {
    let pipe = async {
        // A client that has left takes its tunnel with it: nothing to report.
        let Ok(upgraded) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
        if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
        }
    };
    tokio::select! {
        () = pipe => {}
        () = member.until_stopped() => {}
    }
}

/// Whether one of the header's values lists the token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(connection: &str, upgrade: &str) -> Request<()> {
        Request::builder().header(CONNECTION, connection).header(UPGRADE, upgrade).body(()).unwrap()
    }

    #[test]
    fn both_headers_are_needed() {
        assert!(is_wanted(&request("Upgrade", "echo")));
        assert!(is_wanted(&request("keep-alive, upgrade", "h2c, ECHO")));
        assert!(!is_wanted(&request("keep-alive", "echo")));
        assert!(!is_wanted(&request("upgrade", "websocket")));
    }

    #[test]
    fn old_versions_have_no_upgrades() {
        let mut request = request("upgrade", "echo");
        *request.version_mut() = Version::HTTP_10;
        assert!(!is_wanted(&request));
    }
}
