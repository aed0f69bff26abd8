use std::time::Duration;

#[cfg(feature = "tls")]
use super::UpstreamTls;
use super::{AccessLog, Forwarding, Traces};
use crate::{balance::Algorithm, overload::Pressure};

/// How a [`Proxy`](super::Proxy) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Workers that will use the proxy, each with connections of its own; 1.
    pub workers: usize,
    /// How long opening a connection to an endpoint may take; 250 ms. On a
    /// container network it takes microseconds, and an address whose container
    /// is gone doesn't refuse but hangs.
    pub connect_timeout: Duration,
    /// How TLS is spoken to endpoints, and whose certificates are believed; not at all:
    /// those that ask for it are never ready.
    #[cfg(feature = "tls")]
    pub upstream_tls: Option<UpstreamTls>,
    /// The share of requests that may be sent again after they had gone out, and
    /// how many a second beside them, for each service; 0.2 and 10. Requests
    /// that never reached an endpoint don't count.
    pub retry_share: f64,
    /// See [`retry_share`](Self::retry_share).
    pub retries_per_second: f64,
    /// How much of the body of an idempotent request is kept so that it can be
    /// sent again, in bytes; 64 KiB. One with a longer body is sent once.
    pub replay_limit: usize,
    /// Whether an endpoint that hangs, or fails more than the others do, is left
    /// alone for a while; yes.
    pub eject: bool,
    /// The time over which new endpoints are given more and more requests, of
    /// services that ask for none; none.
    pub slow_start: Option<Duration>,
    /// How long requests wait while a service has no endpoint that is ready,
    /// counted from when it had none; 10 s.
    pub wait: Duration,
    /// How many requests of one service may wait; 1,024.
    pub wait_limit: usize,
    /// The algorithm of services that ask for none; round robin.
    pub algorithm: Algorithm,
    /// The host that answers for hosts nobody registered; none.
    pub default_host: Option<String>,
    /// What endpoints are told of clients, and which clients are believed.
    pub forwarding: Forwarding,
    /// The longest path and query, in bytes; 16 KiB. A longer one gets 414.
    pub uri_limit: usize,
    /// The longest body of a request, in bytes; any length. A longer one gets 413, or
    /// is broken off where that can't be said any more.
    pub body_limit: Option<u64>,
    /// How long the next piece of a request's body may take to come; 60 s. Then it
    /// gets 408.
    pub body_timeout: Duration,
    /// How long an endpoint may take to begin its answer, to an eighth more; 60 s.
    /// Then the request gets 504, and is not sent again.
    pub answer_timeout: Duration,
    /// How long the next piece of an answer's body may take to come; 5 minutes. Then
    /// it is broken off. Tunnels, as of WebSockets, may be silent for ever.
    pub idle_timeout: Duration,
    /// How HTTPS is served; not at all.
    #[cfg(feature = "tls")]
    pub https: Option<super::Https>,
    /// While this is [high](crate::overload::Level::High), requests get 503; never.
    pub pressure: Pressure,
    /// Where requests are written down; nowhere.
    pub access_log: Option<AccessLog>,
    /// Which requests are traced, and who gets the traces; none.
    pub traces: Option<Traces>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 1,
            connect_timeout: Duration::from_millis(250),
            #[cfg(feature = "tls")]
            upstream_tls: None,
            retry_share: 0.2,
            retries_per_second: 10.0,
            replay_limit: 64 << 10,
            eject: true,
            slow_start: None,
            wait: Duration::from_secs(10),
            wait_limit: 1024,
            algorithm: Algorithm::default(),
            default_host: None,
            forwarding: Forwarding::default(),
            uri_limit: 16 << 10,
            body_limit: None,
            body_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(300),
            #[cfg(feature = "tls")]
            https: None,
            pressure: Pressure::default(),
            access_log: None,
            traces: None,
        }
    }
}
