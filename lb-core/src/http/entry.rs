use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::metrics::Histogram;
use tokio::{task::AbortHandle, time};

use super::upstream::Upstream;

/// An upstream in the eyes of the driver.
pub(super) struct Entry {
    pub(super) upstream: Arc<Upstream>,
    /// Whether its source wants it used.
    pub(super) wanted: bool,
    /// The probe under way.
    pub(super) probe: Option<AbortHandle>,
    /// Until it is ready for the first time: since when it is known, and where it
    /// counts how long that took.
    unready: Option<(Instant, Histogram)>,
}

/// How long after an endpoint has ended its last answers may take to get here.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Entry {
    /// One that is known as of `now`.
    pub(super) fn new(upstream: Upstream, now: Instant, readiness: Histogram) -> Self {
        let unready = Some((now, readiness));
        Self { upstream: Arc::new(upstream), wanted: false, probe: None, unready }
    }

    /// It has accepted a connection.
    pub(super) fn became_ready(&mut self, now: Instant) {
        if let Some((known, readiness)) = self.unready.take() {
            readiness.record(now.saturating_duration_since(known));
        }
    }

    /// No new requests; those in flight finish.
    pub(super) fn rest(&mut self) {
        if let Some(probe) = self.probe.take() {
            probe.abort();
        }
        self.upstream.set_ready(false);
        self.upstream.close_idle();
    }

    /// It has left for good. Who is no longer known to any source finishes what
    /// it has. Of who is known and `ended`, or is elsewhere now, answers may still
    /// be on their way through here; after a while none can be.
    pub(super) fn retire(mut self, ended: bool) {
        self.rest();
        self.upstream.retire();
        if ended {
            let upstream = self.upstream;
            tokio::spawn(async move {
                time::sleep(LAST_WORDS).await;
                upstream.cut_off();
            });
        }
    }
}
