//! The HTTP proxy: routes by host, balances over endpoints, and gives every
//! request an answer.
//!
//! [`Proxy`] is a tower service for the requests; its [`Driver`] reads any
//! number of [discoveries](crate::Discovery) of
//! [`Registration`](crate::registry::Registration)s and keeps the routes. They
//! meet in one immutable table that is replaced as a whole; a [`Plane`] shows it
//! to whoever wants to know.
//!
//! ```no_run
//! use lb_core::{discovery, http::{Options, Proxy}, registry::Registration};
//!
//! # async fn run(registrations: Vec<(lb_core::EndpointId, lb_core::Endpoint<Registration>)>) {
//! let (proxy, driver) = Proxy::new(Options::default());
//! let fixed: discovery::Fixed<Registration> = registrations.into_iter().collect();
//! tokio::spawn(driver.source("config", fixed).run());
//! // `proxy` is a `Service<Request<Incoming>>`: serve it with `lb_core::server`
//! // or with any hyper server.
//! # }
//! ```

mod access_log;
mod body;
mod client;
mod clip;
mod connection;
mod controls;
mod dial;
mod drains;
mod driver;
mod error;
mod exchange;
mod expectation;
pub mod explain;
mod findings;
mod forward;
mod forwarding;
mod head;
#[cfg(feature = "tls")]
mod https;
mod journal;
mod lane;
mod managed;
mod options;
mod outgoing;
mod plane;
mod pools;
mod probe;
mod progress;
mod proxy;
mod queue;
mod record;
mod reminder;
mod replay;
mod since;
mod table;
mod tap;
mod timeouts;
mod trace;
mod unanswered;
mod upgrade;
mod upstream;
#[cfg(feature = "tls")]
mod upstream_tls;

pub use access_log::{AccessLog, Destination, Escape, EscapeError, LogFormat, LogFormatError};
pub use body::{RequestBody, ResponseBody};
pub use controls::{Controls, DrainError};
pub use driver::Driver;
pub use error::Refusal;
pub(crate) use error::Truncation;
pub use forwarding::{Forwarding, Trust, TrustError};
#[cfg(feature = "tls")]
pub use https::Https;
pub use options::Options;
pub use plane::{EndpointReport, Plane, ServiceReport, Standing};
pub use proxy::Proxy;
pub use tap::{End, Sample, Seen, Watch};
pub use trace::{Attempt, Sink, Trace, Traces};
#[cfg(feature = "tls")]
pub use upstream_tls::UpstreamTls;
