//! What is told of a request when it has ended.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::http::StatusCode;

/// What became of a request, told when the last byte of its answer has gone or can't
/// go any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    /// Whom it was for; nobody where no route was found.
    pub(super) service: Option<&'a Arc<str>>,
    /// Who answered; nobody where the balancer did so itself.
    pub(super) endpoint: Option<&'a Arc<str>>,
    pub(super) status: StatusCode,
    /// Bytes that came of the request's body.
    pub(super) received: u64,
    /// Bytes of the answer's body.
    pub(super) sent: u64,
    /// Whether that was all of it.
    pub(super) complete: bool,
    pub(super) ended: Instant,
    /// From the head of the request to the end.
    pub(super) took: Duration,
    pub(super) attempts: u32,
    /// The last one.
    pub(super) attempt: Option<Try>,
    /// Why there is no whole answer of an endpoint.
    pub(super) reason: Option<&'static str>,
    /// Whether what became of it is a fault on this side of the client.
    pub(super) failed: bool,
}

/// How long the parts of the last attempt took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    /// Until a connection was open, which is no time where one was already; none where
    /// it couldn't be opened.
    pub(super) connect: Option<Duration>,
    /// From there to the head of the answer; none where there is no answer.
    pub(super) first_byte: Option<Duration>,
}

/// An attempt to have a request answered by an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) address: SocketAddr,
    /// From when the endpoint was chosen to the end, or until it was given up.
    pub(super) took: Duration,
    pub(super) phases: Phases,
    /// What it answered, or what has to be answered in its place; nothing if it isn't the
    /// endpoint's doing that there is no answer.
    pub(super) status: Option<StatusCode>,
}

/// An attempt that is being made.
pub(super) struct Attempt {
    address: SocketAddr,
    began: Instant,
    /// When it came to nothing, if it has: what comes after that is waiting for another
    /// endpoint.
    ended: Option<Instant>,
    pub(super) phases: Phases,
    /// What stands for an answer that hasn't come, if that is the endpoint's doing.
    pub(super) status: Option<StatusCode>,
}

impl Attempt {
    pub(super) fn new(address: SocketAddr, now: Instant) -> Self {
        Self { address, began: now, ended: None, phases: Phases::default(), status: None }
    }

    /// It has come to nothing as of `now`.
    pub(super) fn failed(&mut self, now: Instant) {
        self.ended = Some(now);
        self.status = Some(StatusCode::BAD_GATEWAY);
    }

    /// What has become of it as of `now`, if this is what it was answered with.
    pub(super) fn tried(&self, now: Instant, status: Option<StatusCode>) -> Try {
        let took = self.ended.unwrap_or(now).saturating_duration_since(self.began);
        Try { address: self.address, took, phases: self.phases, status }
    }
}
