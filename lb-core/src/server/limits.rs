use std::time::Duration;

/// What clients may take up of a [`Server`](super::Server).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long a connection may take to send the head of its first or its next
    /// request before it is closed; 60 s. Those of HTTP/2 are asked once in this time
    /// whether anybody is there, and closed when they have had no stream for as long.
    pub head_timeout: Duration,
    /// How long a client may leave everything untouched that waits for it before its
    /// connection is closed; 60 s. On a stream of HTTP/2 it has to take 16 KiB in this
    /// time, or what there is; else the stream is reset.
    pub send_timeout: Duration,
    /// The longest head of a request, in bytes; 64 KiB. A longer one gets 431.
    pub head_size: usize,
    /// The most header fields of a request; 100. More get 431.
    pub headers: usize,
    /// The most connections at once; 20,000. Further ones get 503 and are closed.
    pub connections: usize,
    /// The most connections at once of one client, which is an IPv4 address or an
    /// IPv6 network of 64 bits; no limit. Further ones get 503 and are closed.
    pub connections_per_client: Option<usize>,
    /// After how many requests a connection is closed; never. One of HTTP/2 is told to
    /// send no more, and what it sends until then is served.
    pub requests: Option<u64>,
    /// The most requests at once on one HTTP/2 connection; 128. A connection whose
    /// client gives up 256 more than are answered is closed.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            head_size: 64 << 10,
            headers: 100,
            connections: 20_000,
            connections_per_client: None,
            requests: None,
            streams: 128,
        }
    }
}
