//! Whether the server says it is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The health the server reports; clones share it.
///
/// It is a statement for health checks to find, nothing more: an unhealthy
/// server goes on answering.
#[derive(Clone, Debug)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// Health that starts as given.
    #[must_use]
    pub fn new(up: bool) -> Self {
        Self(Arc::new(AtomicBool::new(up)))
    }

    /// Whether the server is healthy.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes the server healthy or not.
    pub fn set(&self, up: bool) {
        self.0.store(up, Ordering::Relaxed);
    }

    /// Flips the health; returns the new one.
    pub fn toggle(&self) -> bool {
        !self.0.fetch_not(Ordering::Relaxed)
    }
}

impl Default for Health {
    /// Healthy.
    fn default() -> Self {
        Self::new(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_health() {
        let health = Health::default();
        let clone = health.clone();
        assert!(clone.is_up());
        health.set(false);
        assert!(!clone.is_up());
        assert!(clone.toggle());
        assert!(health.is_up());
    }
}
