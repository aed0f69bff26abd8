use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{self, Sleep};

/// How long something may stand still. It costs nothing until it does.
pub(crate) struct Patience {
    pub(crate) limit: Duration,
    /// Runs while it stands still.
    ends: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, ends: None }
    }

    /// It went on.
    pub(crate) fn renew(&mut self) {
        self.ends = None;
    }

    /// It stands still; ready once it has for too long.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        self.ends.get_or_insert_with(|| Box::pin(time::sleep(limit))).as_mut().poll(cx)
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patience").field(&self.limit).finish()
    }
}
