//! What the driver knows of an upstream beside what requests see of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::metrics::Histogram;
use tokio::{task::AbortHandle, time};

use super::upstream::Upstream;

/// An upstream in the eyes of the driver.
pub(super) struct ManagedUpstream {
    pub(super) upstream: Arc<Upstream>,
    /// The probe under way.
    pub(super) probe: Option<AbortHandle>,
    /// Whether its source wants it used.
    wanted: bool,
    /// When that was so for the first time.
    since: Option<Instant>,
    /// Until it is ready for the first time: where it counts how long that took.
    readiness: Option<Histogram>,
}

/// How long after an endpoint has ended its last answers may take to get here.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl ManagedUpstream {
    /// One that nobody wants used yet.
    pub(super) fn new(upstream: Upstream, readiness: Histogram) -> Self {
        let readiness = Some(readiness);
        Self { upstream: Arc::new(upstream), probe: None, wanted: false, since: None, readiness }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Its source wants it used as of `now`, or doesn't any more.
    pub(super) fn set_wanted(&mut self, wanted: bool, now: Instant) {
        self.wanted = wanted;
        if wanted {
            self.since.get_or_insert(now);
        }
    }

    /// It has accepted a connection.
    pub(super) fn became_ready(&mut self, now: Instant) {
        if let (Some(since), Some(readiness)) = (self.since, self.readiness.take()) {
            readiness.record(now.saturating_duration_since(since));
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ::metrics::HistogramFn;
    use tokio::sync::mpsc;

    use super::*;
    use crate::registry::Transport;

    #[derive(Default)]
    struct Recorded(Mutex<Vec<f64>>);

    impl HistogramFn for Recorded {
        fn record(&self, value: f64) {
            crate::sync::lock(&self.0).push(value);
        }
    }

    #[test]
    fn it_takes_from_when_it_is_wanted_to_when_it_is_ready() {
        let recorded = Arc::<Recorded>::default();
        let address = "127.0.0.1:80".parse().unwrap();
        let key = ("1".into(), address, Transport::default());
        let upstream = Upstream::new(key, "1".into(), 1, mpsc::unbounded_channel().0);
        let mut managed =
            ManagedUpstream::new(upstream, Histogram::from_arc(Arc::clone(&recorded)));
        // It is known for an hour before it is healthy, and wanted in vain for a second.
        let began = Instant::now() + Duration::from_secs(3600);
        managed.set_wanted(true, began);
        managed.set_wanted(false, began + Duration::from_secs(1));
        managed.set_wanted(true, began + Duration::from_secs(2));
        managed.became_ready(began + Duration::from_secs(3));
        managed.became_ready(began + Duration::from_secs(9));
        assert_eq!(*crate::sync::lock(&recorded.0), [3.0]);
    }
}
