use std::{
    error::Error,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// Why a [`Server`](super::Server) has closed the connection of a client, or not
/// served it at all. How often, [`Connections::closed`](super::Connections::closed)
/// tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// There were as many as there may be.
    TooMany,
    /// The client had as many as one may have.
    TooManyOfClient,
    /// Memory was about to run out.
    Overload,
    /// Nothing came in the time for a head.
    Silent,
    /// It should have begun with a PROXY header, and didn't.
    ProxyHeader,
    /// There is no certificate for the host that the client named.
    NoCertificate,
    /// The handshake of TLS has failed, or took too long.
    Handshake,
    /// The head of the first or the next request wasn't complete in time. One that
    /// was idle between requests is closed for this as well.
    HeadTimeout,
    /// The head of a request was too long, or had too many fields: 431 or 414.
    HeadSize,
    /// What came isn't HTTP: 400.
    BadHead,
    /// The client took nothing of what waited for it in time.
    SendTimeout,
    /// Nobody answered when it was asked over HTTP/2 whether anybody is there.
    NoPong,
    /// The client broke the rules of HTTP/2.
    Http2,
    /// The client made work for nothing over HTTP/2: streams that it reset at once,
    /// pings, settings, headers without end.
    Http2Flood,
}

impl Closed {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::TooMany,
        Self::TooManyOfClient,
        Self::Overload,
        Self::Silent,
        Self::ProxyHeader,
        Self::NoCertificate,
        Self::Handshake,
        Self::HeadTimeout,
        Self::HeadSize,
        Self::BadHead,
        Self::SendTimeout,
        Self::NoPong,
        Self::Http2,
        Self::Http2Flood,
    ];

    /// Its name in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooMany => "connections",
            Self::TooManyOfClient => "connections_per_client",
            Self::Overload => "overload",
            Self::Silent => "silent",
            Self::ProxyHeader => "proxy_header",
            Self::NoCertificate => "no_certificate",
            Self::Handshake => "handshake",
            Self::HeadTimeout => "head_timeout",
            Self::HeadSize => "head_size",
            Self::BadHead => "bad_head",
            Self::SendTimeout => "send_timeout",
            Self::NoPong => "no_pong",
            Self::Http2 => "http2",
            Self::Http2Flood => "http2_flood",
        }
    }

    /// What this error of a connection says of us; nothing where it was the client
    /// who ended it.
    pub(super) fn of(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            return Some(Self::HeadSize);
        }
        if error.is_parse() {
            return Some(Self::BadHead);
        }
        if error.is_timeout() {
            // That of a head has no cause.
            return Some(if error.source().is_none() { Self::HeadTimeout } else { Self::NoPong });
        }
        let mut causes = std::iter::successors(error.source(), |&error| error.source());
        causes.find_map(|cause| {
            let of_http2 = cause.downcast_ref::<h2::Error>();
            if let Some(error) = of_http2.filter(|error| error.is_library()) {
                return Some(match error.reason() {
                    Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::Http2Flood,
                    _ => Self::Http2,
                });
            }
            // h2 keeps their kind and text.
            let error = of_http2.and_then(h2::Error::get_io);
            let error = error.or_else(|| cause.downcast_ref::<io::Error>())?;
            match error.kind() {
                io::ErrorKind::QuotaExceeded => Some(Self::Http2Flood),
                // Ours; that of the system has no text.
                io::ErrorKind::TimedOut if error.get_ref().is_some() => Some(Self::SendTimeout),
                _ => None,
            }
        })
    }
}

/// How often each has happened.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; Closed::ALL.len()]);

impl Counts {
    pub(super) fn count(&self, closed: Closed) {
        self.0[closed as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn of(&self, closed: Closed) -> u64 {
        self.0[closed as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_their_order() {
        let mut at = 0..;
        assert!(Closed::ALL.iter().all(|&closed| Some(closed as usize) == at.next()));
    }
}
