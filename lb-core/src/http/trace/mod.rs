//! Traces of requests: which of them are traced, and what is told of those.
//!
//! Everything here is about one hop. A request that is traced has a span of its own,
//! and each attempt at an endpoint has one below it, whose id the endpoint is told
//! (`traceparent`, W3C Trace Context). Nothing is known of who collects them: that is
//! a [`Sink`].

mod parent;
mod recording;
mod sampler;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use ::http::{Method, StatusCode, Version};

use crate::{endpoint::EndpointId, registry::Protocol};

pub(super) use parent::{Parent, TRACEPARENT, TRACESTATE, hex};
pub(super) use recording::{Recording, why_not_connected};
use sampler::Sampler;

/// Which requests are traced, and who gets the traces. Clones share both.
///
/// A request is traced if the client that sent it says so in its `traceparent` and is
/// [believed](super::Forwarding::trust), and isn't if such a client says no; of all
/// others a share is.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    sampler: Sampler,
    sink: Box<dyn Sink>,
}

/// Takes traces of requests that have ended.
pub trait Sink: Send + Sync + 'static {
    /// Takes one, on the thread of the worker that served it: nothing may wait here.
    fn take(&self, worker: usize, trace: Trace);
}

/// One request that was traced, from its head to the last byte of its answer.
///
/// Texts that come from the client are cut off after 1,024 bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trace {
    /// The trace that it is part of; never 0.
    pub id: u128,
    /// The id of its span; never 0.
    pub span: u64,
    /// The span of who sent it, if he named one.
    pub parent: Option<u64>,
    /// The trace flags (W3C), as endpoints are told of them.
    pub flags: u8,
    /// The `tracestate` that came with it: of a long one, as many entries as there is room
    /// for.
    pub state: Option<Box<str>>,
    /// When its head had come.
    pub started: SystemTime,
    /// How long it took until the last byte of its answer was handed over.
    pub took: Duration,
    /// Its method, as it came, and not all of a long one.
    pub method: Method,
    /// `http` or `https`, as the first client asked, as far as it is known.
    pub scheme: &'static str,
    /// The host that it was for, with its port if that was said.
    pub host: Option<Box<str>>,
    /// The path, without the query.
    pub path: Box<str>,
    /// The version of HTTP that it came in.
    pub version: Version,
    /// The `User-Agent`.
    pub user_agent: Option<Box<str>>,
    /// Who has connected.
    pub peer: Option<SocketAddr>,
    /// Who the client is, behind proxies that are believed.
    pub client: Option<IpAddr>,
    /// The service that answers for its host, if one does.
    pub service: Option<Arc<str>>,
    /// What it was answered with; `None` if the client had left before.
    pub status: Option<StatusCode>,
    /// Why there is no whole answer of an endpoint: a
    /// [`Refusal::reason`](super::Refusal::reason), another one of the access log, or
    /// `client_left`.
    pub reason: Option<&'static str>,
    /// Whether all of the answer was sent, or it became a tunnel, which anybody may end.
    pub is_whole: bool,
    /// The attempts at endpoints, in their order.
    pub attempts: Vec<Attempt>,
}

/// One attempt at an endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The id of its span, which the endpoint was told; never 0.
    pub span: u64,
    /// When it began, after [`Trace::started`].
    pub started: Duration,
    /// How long it took: until it failed, or until the last byte of the answer.
    pub took: Duration,
    /// Who it was made at.
    pub endpoint: EndpointId,
    /// What people call that one.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// How long opening a connection took, if one was opened.
    pub connect: Option<Duration>,
    /// How long after it began the head of the answer had come, if it has.
    pub first_byte: Option<Duration>,
    /// The status of the answer, if one came.
    pub status: Option<StatusCode>,
    /// Why it came to nothing, or to an answer that isn't whole: `connect_refused`,
    /// `connect_timeout`, `connect_tls`, `connect_error`, `left`, `stale` (the
    /// connection had been closed), `reset`, `refused` (of HTTP/2), `silent`,
    /// `upstream_timeout`, `upstream_protocol`, or the reason of the whole request.
    pub error: Option<&'static str>,
}

impl Traces {
    /// Traces this share of requests, from 0 to 1, of clients that aren't believed or
    /// don't say whether they are traced.
    pub fn new(share: f64, sink: impl Sink) -> Self {
        Self(Arc::new(Inner { sampler: Sampler::new(share), sink: Box::new(sink) }))
    }

    /// Traces another share from now on.
    pub fn set_share(&self, share: f64) {
        self.0.sampler.set(share);
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("share", &self.0.sampler.share()).finish_non_exhaustive()
    }
}
