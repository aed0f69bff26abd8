//! The admin listener of the balancer that runs, for commands.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

/// Where a balancer answers about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    limit: Duration,
}

/// What it has answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

/// A balancer under load still answers sooner.
const LIMIT: Duration = Duration::from_secs(10);

impl Admin {
    /// The one whose admin listener is said to be at this address.
    pub(crate) fn at(address: Option<SocketAddr>) -> anyhow::Result<Self> {
        let Some(address) = address else {
            bail!("there is nobody to ask: the admin listener is off (--admin, LB_ADMIN)");
        };
        Ok(Self { address: reachable(address), limit: LIMIT })
    }

    /// Who doesn't answer within `limit` has no answer.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers at this path; an error if nobody does.
    pub(crate) async fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let answer = time::timeout(self.limit, async {
            let response = self.send(path).await?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(io::Error::other)?;
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            Ok(Answer { status, body })
        });
        let answer = answer.await.map_err(io::Error::from).flatten();
        answer.map_err(|error| self.unanswered(path, error))
    }

    /// The same where 200 alone is an answer to go by.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.ask(path).await?;
        self.expect(path, answer)
    }

    /// The body of an answer to go by.
    pub(crate) fn expect(&self, path: &str, answer: Answer) -> anyhow::Result<String> {
        let Answer { status, body } = answer;
        if status == StatusCode::OK { Ok(body) } else { Err(self.refused(path, status, &body)) }
    }

    /// A stream of events, once it has begun.
    pub(crate) async fn follow(&self, path: &str) -> anyhow::Result<Incoming> {
        let response = time::timeout(self.limit, self.send(path)).await;
        let response = response.map_err(io::Error::from).flatten();
        let response = response.map_err(|error| self.unanswered(path, error))?;
        let kind = response.headers().get(CONTENT_TYPE);
        match response.status() {
            StatusCode::OK if kind.is_some_and(|kind| kind == "text/event-stream") => {
                Ok(response.into_body())
            }
            StatusCode::OK => Err(self.refused(path, StatusCode::NOT_FOUND, "")),
            status => {
                let body = response.into_body().collect().await.map(Collected::to_bytes);
                let body = body.unwrap_or_default();
                Err(self.refused(path, status, &String::from_utf8_lossy(&body)))
            }
        }
    }

    async fn send(&self, path: &str) -> io::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(HOST, self.address.to_string())
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        sender.send_request(request).await.map_err(io::Error::other)
    }

    fn unanswered(&self, path: &str, error: io::Error) -> anyhow::Error {
        let Self { address, .. } = self;
        if error.kind() == io::ErrorKind::ConnectionRefused {
            return anyhow::anyhow!(
                "nobody answers at http://{address}: does the balancer run, here or in this \
                 container? If its admin listener has another address, say so with --admin or \
                 LB_ADMIN; one that listens on the loopback of its container is asked there: \
                 docker exec CONTAINER /lb-bin ..."
            );
        }
        let error = anyhow::Error::from(error);
        error.context(format!("no answer from http://{address}{}", path_of(path)))
    }

    fn refused(&self, path: &str, status: StatusCode, body: &str) -> anyhow::Error {
        let (address, path) = (self.address, path_of(path));
        if status == StatusCode::NOT_FOUND {
            return anyhow::anyhow!(
                "what answers at http://{address} has no {path}: is the balancer of this version \
                 ({})?",
                env!("CARGO_PKG_VERSION")
            );
        }
        let body = body.lines().next().unwrap_or_default();
        anyhow::anyhow!("http://{address}{path} answers {status}: {body}")
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// A listener on every address is asked on the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// What an answer means that is JSON.
pub(crate) fn read<'a, T: serde::Deserialize<'a>>(path: &str, body: &'a str) -> anyhow::Result<T> {
    serde_json::from_str(body).with_context(|| {
        format!(
            "what {path} answers isn't understood: is the balancer of this version ({})?",
            env!("CARGO_PKG_VERSION")
        )
    })
}
