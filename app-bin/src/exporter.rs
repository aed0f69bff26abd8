//! The metrics as Prometheus reads them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use app_bin::{DURATION_BUCKETS, DURATION_METRIC, HEALTHY_METRIC, Health, Metrics};
use metrics::{gauge, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use metrics_process::Collector;

/// How often the histogram's raw samples are folded into its buckets; between
/// scrapes they would pile up.
const UPKEEP: Duration = Duration::from_secs(1);

/// Shows the metrics of one server, and those of the process.
#[derive(Clone)]
pub(crate) struct Exporter {
    recorder: Arc<PrometheusRecorder>,
    process: Collector,
    health: Health,
}

impl Exporter {
    /// With nothing recorded yet.
    pub(crate) fn new(health: Health) -> anyhow::Result<Self> {
        let buckets = Matcher::Full(DURATION_METRIC.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(buckets, &DURATION_BUCKETS)
            .context("cannot set up the metrics")?
            .build_recorder();
        Ok(Self { recorder: Arc::new(recorder), process: Collector::default(), health })
    }

    /// What a server records into.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::new(self.recorder.clone(), Vec::new())
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        with_local_recorder(&*self.recorder, || {
            gauge!(HEALTHY_METRIC).set(if self.health.is_up() { 1.0 } else { 0.0 });
            self.process.collect();
        });
        self.recorder.handle().render()
    }

    /// Never ends.
    pub(crate) async fn upkeep(self) {
        let mut interval = tokio::time::interval(UPKEEP);
        loop {
            interval.tick().await;
            self.recorder.handle().run_upkeep();
        }
    }
}
