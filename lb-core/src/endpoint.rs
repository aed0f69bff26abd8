//! One member of a cluster: what it is called, what it is, and whether its
//! source wants it used.

use std::{borrow::Cow, fmt, sync::Arc};

/// The identity of an endpoint: a container id, a task id, a configured name.
///
/// Load, health and connections are kept by identity, so it must outlive
/// changes of address and must never be reused for something else. An address
/// is a fit identity only where nothing ever moves, as in a fixed list.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    /// The identity as its source wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for EndpointId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointId({})", self.0)
    }
}

/// What a source says of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint<T> {
    /// What requests are sent to: an address, a client, a registration.
    pub target: T,
    /// The share of requests relative to the others; 1 unless said otherwise.
    /// An endpoint of weight 0 gets no new requests.
    pub weight: u32,
    /// Whether its source wants it used.
    pub state: State,
}

impl<T> Endpoint<T> {
    /// An active endpoint of weight 1.
    pub fn new(target: T) -> Self {
        Self { target, weight: 1, state: State::Active }
    }

    /// Sets the weight.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// The same endpoint with another target.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Endpoint<U> {
        Endpoint { target: f(self.target), weight: self.weight, state: self.state }
    }
}

/// Whether a source wants an endpoint used.
///
/// This is the source's word only; whether the endpoint answers is found out
/// by probing and by sending it requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It takes new requests.
    #[default]
    Active,
    /// It is about to leave: no new requests, those in flight finish.
    Draining,
    /// It is there but can't serve now, for the reason given: paused, its
    /// health check fails, it has not started yet.
    Down(Cow<'static, str>),
}
