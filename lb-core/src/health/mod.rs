//! Whether endpoints can serve: active checks, outlier ejection, slow start,
//! panic.
//!
//! Each of them is a state machine that is given the time and does nothing by
//! itself: [`Active`] and [`Threshold`], [`Outliers`], [`Silence`], [`SlowStart`],
//! [`Panic`].
//! The [`Monitor`] is the one place with timers and I/O. It runs the
//! [`Check`]s, asks the machines, and writes what they say into each endpoint's
//! [`Load`](crate::load::Load), where picks read it. [`Silence`] alone is asked by
//! whoever sees answers begin: the proxy.
//!
//! | | asks | says |
//! |---|---|---|
//! | active checks | a [`Check`], every few seconds | healthy or not |
//! | outlier ejection | the results of requests | ejected for a while or not |
//! | silence | who answers while others do not | ejected until it answers, or is tried |
//! | panic | how many are left | all of the above is ignored, or not |
//! | slow start | how long it has been ready | the share of its usual requests |
//!
//! Whether an endpoint is wanted at all is its source's word
//! ([`State`](crate::endpoint::State)), which nothing here overrules.

mod active;
mod check;
mod event;
mod monitor;
mod options;
mod outlier;
mod panic;
mod pause;
mod prober;
#[cfg(feature = "http")]
mod readiness;
mod silence;
mod slow_start;
mod threshold;

pub use active::{Active, ActiveOptions};
#[cfg(feature = "health-grpc")]
pub use check::Grpc;
#[cfg(feature = "health-http")]
pub use check::Http;
#[cfg(feature = "health")]
pub use check::Tcp;
pub use check::{At, BoxFuture, Check, CheckError, InvalidCheck};
pub use event::Event;
pub use monitor::Monitor;
pub use options::Health;
pub use outlier::{Decision, Observation, OutlierOptions, Outliers, Reason};
pub use panic::Panic;
#[cfg(feature = "http")]
pub use readiness::{Readiness, accepts};
pub use silence::{Heard, Silence, SilenceOptions, Verdict};
pub use slow_start::SlowStart;
pub use threshold::{Status, Threshold, Transition};
