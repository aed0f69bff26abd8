//! What lb-core records: every name, what it means, and handles that are
//! registered once, so that a request only adds to a counter it holds.
//!
//! Series that carry an `endpoint` label are recorded through handles that live
//! as long as the endpoint does; an exporter that follows its handles can let go
//! of them at the same time. Gauges are set by [`Plane::observe`] when somebody
//! looks, and cost the request path nothing.
//!
//! [`ALL`] has what an exporter may want to know before the first value comes,
//! the bounds of buckets for one.
//!
//! [`Plane::observe`]: crate::http::Plane::observe
#![cfg_attr(
    not(feature = "http"),
    allow(rustdoc::broken_intra_doc_links, reason = "there is no Plane then")
)]

mod description;
#[cfg(feature = "http")]
mod handles;
#[cfg(feature = "http")]
mod table;
#[cfg(all(feature = "http", feature = "tls"))]
mod tls;

pub use description::{Description, Kind, Label, Topic, Values};
#[cfg(feature = "http")]
pub(crate) use handles::*;
#[cfg(feature = "http")]
pub use table::ALL;
#[cfg(all(feature = "http", feature = "tls"))]
pub(crate) use tls::*;

/// Tells the recorder in force what each metric of lb-core means. Call it once,
/// when the recorder is installed.
#[cfg(feature = "http")]
pub fn describe() {
    ALL.iter().for_each(Description::describe);
}
