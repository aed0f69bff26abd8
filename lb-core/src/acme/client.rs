//! HTTP to an ACME server: a connection for each request, as there are few.

use std::{
    future::{self, Future},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{CONNECTION, HOST, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::{net::TcpStream, time};

use crate::{sync::lock, tls::Connector};

/// One request, from the server's address to the last byte of its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer. A chain of certificates has a few thousand.
const ANSWER_LIMIT: usize = 1 << 20;

/// Longer wishes are none.
const LONGEST_RETRY_AFTER: u64 = 366 * 24 * 3600;

/// Clones have the same last answer.
#[derive(Clone)]
pub(super) struct Client {
    connector: Connector,
    refused: Arc<Mutex<Option<Refused>>>,
}

/// What the last answer said, if it was an error: what `instant-acme` leaves out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<SystemTime>,
}

impl Client {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, refused: Arc::default() }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        *lock(&self.refused)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let Self { connector, refused } = self.clone();
        Box::pin(async move {
            *lock(&refused) = None;
            let server = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let exchange = time::timeout(PATIENCE, exchange(&connector, request)).await;
            let response = exchange
                .unwrap_or_else(|_| Err(io::Error::other("no answer within 30 s")))
                .map_err(|error| Error::Other(format!("{server}: {error}").into()))?;
            *lock(&refused) = refusal(&response, SystemTime::now());
            Ok(BytesResponse::from(response))
        })
    }
}

type Response = http::Response<http_body_util::Full<Bytes>>;

async fn exchange(
    connector: &Connector,
    request: Request<BodyWrapper<Bytes>>,
) -> io::Result<Response> {
    let (mut head, body) = request.into_parts();
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let uri = std::mem::take(&mut head.uri);
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(|| invalid("it names an URL that isn't https"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let value = HeaderValue::try_from(authority.as_str()).map_err(|_| invalid("no host"))?;
    head.headers.insert(HOST, value);
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let agent = concat!("lb-core/", env!("CARGO_PKG_VERSION"), " instant-acme");
    head.headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(path) = uri.path_and_query() {
        head.uri = Uri::from(path.clone());
    }

    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
    let stream = connector.connect(host, stream).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let exchange = async {
        let request = Request::from_parts(head, body);
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let (mut head, body) = response.into_parts();
        // Such a number is added to the time by who reads it.
        if seconds(head.headers.get(RETRY_AFTER)).is_some_and(|wish| wish > LONGEST_RETRY_AFTER) {
            head.headers.remove(RETRY_AFTER);
        }
        let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(io::Error::other)?;
        Ok(http::Response::from_parts(head, http_body_util::Full::new(body.to_bytes())))
    };
    tokio::select! {
        result = exchange => result,
        // The exchange notices, and says more about it.
        never = async { _ = connection.await; future::pending().await } => never,
    }
}

fn refusal(response: &Response, now: SystemTime) -> Option<Refused> {
    let status = response.status();
    let wish = || seconds(response.headers().get(RETRY_AFTER));
    (status.is_client_error() || status.is_server_error()).then(|| Refused {
        status,
        retry_after: wish().and_then(|wish| now.checked_add(Duration::from_secs(wish))),
    })
}

/// A date is no wish of a server's that could be relied on: its clock isn't ours.
fn seconds(header: Option<&HeaderValue>) -> Option<u64> {
    header?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_is_kept() {
        let now = SystemTime::now();
        let refused = |status: u16, wish: Option<&str>| {
            let mut response = http::Response::builder().status(status);
            if let Some(wish) = wish {
                response = response.header(RETRY_AFTER, wish);
            }
            let refused = refusal(&response.body(Default::default()).unwrap(), now)?;
            Some((refused.status.as_u16(), refused.retry_after))
        };
        assert_eq!(refused(200, Some("120")), None);
        assert_eq!(refused(429, Some(" 120 ")), Some((429, Some(now + Duration::from_secs(120)))));
        assert_eq!(refused(503, None), Some((503, None)));
        for wish in ["Fri, 31 Dec 1999 23:59:59 GMT", "-1", "18446744073709551615"] {
            assert_eq!(refused(503, Some(wish)), Some((503, None)), "{wish}");
        }
    }
}
