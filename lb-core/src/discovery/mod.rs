//! Who is there: streams of changes to a set of endpoints.
//!
//! | source | says |
//! |---|---|
//! | [`fixed`] | a list that never changes |
//! | [`channel`] | what is sent to it |
//! | [`from_watch`] | what a tokio watch holds |
//! | [`from_tower`] | what a `Discover` of tower finds |
//! | `file` (feature `file`) | what a file lists, as it changes |
//! | `dns` (feature `dns`) | what DNS knows of a name |
//! | [`merge`] | what several of these say |
//!
//! [`Set`] is what changes add up to; [`to_watch`] and [`to_tower`] hand it on.

mod batch;
mod channel;
#[cfg(feature = "dns")]
pub mod dns;
mod driven;
#[cfg(feature = "file")]
pub mod file;
mod fixed;
mod from_tower;
mod merge;
mod set;
mod status;
mod to_tower;
mod watch;

use futures_core::Stream;

use crate::endpoint::{Endpoint, EndpointId};

pub(crate) use batch::poll_batch;
pub use channel::{Changes, Closed, Sender, channel};
pub use fixed::{Fixed, fixed};
pub use from_tower::{FromTower, Instance, from_tower};
pub use merge::{Merge, merge};
pub use set::Set;
pub use status::{Report, Reporter, Status};
pub use to_tower::{ToTower, to_tower};
pub use watch::{FromWatch, from_watch, to_watch};

/// A source of endpoints: a stream of [`Change`]s.
///
/// Every `Stream` of changes that is `Send` is a `Discovery`; there is nothing
/// to implement. Sources retry inside and report trouble in a [`Status`] and in
/// logs and metrics: the stream itself never fails. A stream that ends says that nothing
/// will change any more; what it last said stays in force.
pub trait Discovery: Stream<Item = Change<Self::Target>> + Send {
    /// What this source knows of an endpoint: an address, a registration.
    type Target;
}

impl<S, T> Discovery for S
where
    S: Stream<Item = Change<T>> + Send,
{
    type Target = T;
}

/// One step in the life of a set of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// The whole set as it is now, after a first look or a resynchronisation.
    /// What is not in it is gone. Where it names an endpoint twice, the later one
    /// stands.
    Reset(Vec<(EndpointId, Endpoint<T>)>),
    /// One endpoint is new or says something else than before.
    Upsert(EndpointId, Endpoint<T>),
    /// One endpoint is gone. Naming one that isn't there is not an error.
    Remove(EndpointId),
}

impl<T> Change<T> {
    /// The same change over other targets.
    pub fn map<U>(self, mut f: impl FnMut(&EndpointId, T) -> U) -> Change<U> {
        let mut map = |id: EndpointId, endpoint: Endpoint<T>| {
            let endpoint = endpoint.map(|target| f(&id, target));
            (id, endpoint)
        };
        match self {
            Change::Reset(all) => {
                Change::Reset(all.into_iter().map(|(id, endpoint)| map(id, endpoint)).collect())
            }
            Change::Upsert(id, endpoint) => {
                let (id, endpoint) = map(id, endpoint);
                Change::Upsert(id, endpoint)
            }
            Change::Remove(id) => Change::Remove(id),
        }
    }
}
