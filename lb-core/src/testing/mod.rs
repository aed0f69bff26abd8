//! For tests of what is built on lb-core (feature `test-util`).
//!
//! | | |
//! |---|---|
//! | [`Clock`] | a time that passes when it is told to, for all that takes a `now` |
//! | [`seed`] | the same random picks in every run |
//! | [`Scripted`] | an endpoint that answers, fails, dawdles and hangs as told |
//! | [`source`] | a discovery that says when what it said has taken effect |
//! | [`wire`] | raw sockets on both sides of a proxy, to test one or a client of your own |
//! | [`conformance`] | what every `Balancer` and `Discovery` has to hold, yours too |
//!
//! What waits inside lb-core waits on tokio's clock, so
//! `#[tokio::test(start_paused = true)]` and `tokio::time::advance` rule over it.

mod clock;
pub mod conformance;
mod scripted;
mod source;
pub mod wire;

pub use clock::Clock;
pub use scripted::{Failed, Scripted, Step};
pub use source::{Source, SourceHandle, source};

/// Makes the random picks of this thread the same in every run.
pub fn seed(seed: u64) {
    fastrand::seed(seed);
}
