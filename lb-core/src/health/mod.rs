//! Whether an endpoint answers: probes, and when to send the next one.

mod readiness;

pub use readiness::{Readiness, accepts};
