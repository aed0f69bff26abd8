//! Where requests go, and what they say.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};
use tokio::net::{self, TcpStream};
use tokio::time;

use super::args::LoadArgs;

/// What every request is made of.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) timeout: Duration,
    pub(crate) name_header: Option<HeaderName>,
    method: Method,
    paths: Vec<Uri>,
    headers: HeaderMap,
    body: Bytes,
}

impl Target {
    /// The first address of the URL's host that accepts a connection, looked up once.
    ///
    /// # Errors
    ///
    /// None of them does.
    pub(crate) async fn find(args: &LoadArgs) -> anyhow::Result<Self> {
        let host = args.url.host().unwrap_or_default();
        // The brackets of an IPv6 address belong to URLs only.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let port = args.url.port_u16().unwrap_or(80);
        let address = time::timeout(args.timeout, listening(name, port))
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in {:?}", args.timeout)))
            .with_context(|| format!("nothing to send requests to at {host}:{port}"))?;

        let authority = args.url.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).context("cannot use the URL's host")?;
        Ok(Self {
            address,
            timeout: args.timeout,
            name_header: args.name_header.clone(),
            method: args.method.clone(),
            paths: match &args.paths[..] {
                [] => vec![path(&args.url)],
                paths => paths.to_vec(),
            },
            headers: headers(args.host.clone().unwrap_or(authority), &args.header),
            body: args.body.clone().into(),
        })
    }

    /// The request of this number.
    pub(crate) fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let turn = usize::try_from(number).unwrap_or_default() % self.paths.len();
        *request.uri_mut() = self.paths[turn].clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Those of every request: ours, but for what is `given`.
fn headers(host: HeaderValue, given: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static("app-bin load"));
    // Of a map, all that has one name takes the place of what had it before.
    headers.extend(given.iter().cloned().collect::<HeaderMap>());
    headers
}

/// What of a URL the request line says.
fn path(url: &Uri) -> Uri {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    path.parse().unwrap_or_default()
}

async fn listening(name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let addresses = net::lookup_host((name, port)).await?;
    let mut failed = anyhow::anyhow!("the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(address),
            Err(error) => failed = error.into(),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_what_would_be_said() {
        let said = |given: &[(&'static str, &'static str)]| {
            let pair = |&(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let given: Vec<_> = given.iter().map(pair).collect();
            let headers = headers(HeaderValue::from_static("app.local"), &given);
            let line = |(name, value): (&HeaderName, &HeaderValue)| {
                format!("{name}={}", value.to_str().unwrap())
            };
            headers.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(said(&[]), "host=app.local user-agent=app-bin load");
        assert_eq!(
            said(&[("x-a", "1"), ("host", "b"), ("x-a", "2")]),
            "host=b user-agent=app-bin load x-a=1 x-a=2"
        );
        // Who wants two has two.
        let two = [("user-agent", "me"), ("user-agent", "you")];
        assert_eq!(said(&two), "host=app.local user-agent=me user-agent=you");
    }
}
