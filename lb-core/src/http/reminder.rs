use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::upstream::Upstream;

/// Has who waits for an answer look at the clock from time to time. A timer for each
/// request would cost more than all else that is done about it.
#[derive(Default)]
pub(super) struct Reminder {
    /// Those that have left and may still be waited for.
    left: Vec<Weak<Upstream>>,
}

/// How often.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(1);

impl Reminder {
    /// It is no longer among those that are there.
    pub(super) fn left(&mut self, upstream: &Arc<Upstream>) {
        self.left.push(Arc::downgrade(upstream));
    }

    /// Reminds who waits for one of these, or for one that has left, and says how soon
    /// to do so again, where an answer may take as long as `limit`.
    pub(super) fn remind<'a>(
        &mut self,
        there: impl Iterator<Item = &'a Upstream>,
        limit: Duration,
    ) -> Duration {
        there.for_each(Upstream::notify);
        self.left.retain(|left| {
            // Who waits for one keeps it.
            let left = left.upgrade();
            left.inspect(|left| left.notify()).is_some()
        });
        (limit / 8).clamp(LEAST, MOST)
    }
}
