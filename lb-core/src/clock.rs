//! What time it is.

use std::time::Instant;

/// Tokio's time, so that a test which pauses tokio's clock holds everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
