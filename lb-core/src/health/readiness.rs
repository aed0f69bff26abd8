use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time};

/// When to look again whether an endpoint accepts connections.
///
/// The pause is a fixed share of the time waited so far. A server that is up in
/// 50 ms is found within a millisecond or two, one that needs a minute within a
/// second, and one that never comes costs a connect a second: whatever the
/// start takes, finding out adds about a hundredth to it.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    since: Instant,
}

impl Readiness {
    /// The shortest pause between two probes of one endpoint.
    pub const MIN_PAUSE: Duration = Duration::from_millis(1);
    /// The longest.
    pub const MAX_PAUSE: Duration = Duration::from_secs(1);

    /// Probing begins now.
    pub fn new(now: Instant) -> Self {
        Self { since: now }
    }

    /// How long to wait before the next probe.
    pub fn pause(&self, now: Instant) -> Duration {
        let waited = now.saturating_duration_since(self.since);
        (waited / 100).clamp(Self::MIN_PAUSE, Self::MAX_PAUSE)
    }
}

/// Whether a connection to `address` is accepted within `limit`.
///
/// The connection is closed at once; nothing is sent. An address whose network
/// is gone doesn't refuse but hangs, so keep the limit short.
pub async fn accepts(address: SocketAddr, limit: Duration) -> io::Result<()> {
    match time::timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(drop),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_wait() {
        let start = Instant::now();
        let readiness = Readiness::new(start);
        let pause = |ms| readiness.pause(start + Duration::from_millis(ms)).as_millis();
        assert_eq!([0, 50, 1_500, 30_000, 3_600_000].map(pause), [1, 1, 15, 300, 1_000]);
    }

    #[tokio::test]
    async fn a_listener_accepts_and_a_closed_port_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        accepts(address, Duration::from_secs(5)).await.unwrap();
        drop(listener);
        let error = accepts(address, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
