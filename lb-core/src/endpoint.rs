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
    /// The level it belongs to, 0 being the first choice. Those of the next
    /// level get requests as those before them fail.
    pub priority: u32,
    /// Where it runs, if its source knows.
    pub zone: Option<Arc<str>>,
    /// Whether its source wants it used.
    pub state: State,
}

impl<T> Endpoint<T> {
    /// An active endpoint of weight 1 and the first priority.
    pub fn new(target: T) -> Self {
        Self { target, weight: 1, priority: 0, zone: None, state: State::Active }
    }

    /// Sets the weight.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the priority, 0 being the first choice.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// What is said of this endpoint, said of another target.
    pub fn with<U>(&self, target: U) -> Endpoint<U> {
        Endpoint {
            target,
            weight: self.weight,
            priority: self.priority,
            zone: self.zone.clone(),
            state: self.state.clone(),
        }
    }

    /// Whether its source wants it to get new requests.
    pub fn is_wanted(&self) -> bool {
        self.state == State::Active && self.weight > 0
    }

    /// The same endpoint with another target.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Endpoint<U> {
        let Self { target, weight, priority, zone, state } = self;
        Endpoint { target: f(target), weight, priority, zone, state }
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
    Down(Reason),
}

/// Why an endpoint can't serve now: in words, and of what kind, for who explains it.
///
/// A text alone is a reason of the kind [`Other`](Obstacle::Other).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    text: Cow<'static, str>,
    obstacle: Obstacle,
}

/// What keeps an endpoint from serving. A source names the first of these, so
/// those before it are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// It doesn't run: it has ended, is paused or has not started yet.
    NotRunning,
    /// It runs, and says of itself that it can't serve, or not yet.
    Unhealthy,
    /// There is no way there from here.
    Unreachable,
    /// Something else.
    #[default]
    Other,
}

impl Reason {
    /// A reason of this kind.
    pub fn new(obstacle: Obstacle, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), obstacle }
    }

    /// Its kind.
    pub fn obstacle(&self) -> Obstacle {
        self.obstacle
    }

    /// Its words.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<T: Into<Cow<'static, str>>> From<T> for Reason {
    fn from(text: T) -> Self {
        Self::new(Obstacle::default(), text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
