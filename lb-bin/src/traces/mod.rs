//! Sends traces of requests to a collector, by OTLP.

mod collector;
mod queue;
mod spans;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use lb_core::http;
use metrics::{Counter, counter};
use opentelemetry_sdk::trace::SpanData;
use tokio::{task::JoinHandle, time};

use crate::{config::Traces as Said, metrics::TRACES};
use collector::Collector;
use queue::{Queue, Queued};
use spans::Spans;

/// How long the end waits for a collector that was away before.
const LAST_TRY: Duration = Duration::from_secs(1);

/// What is sent while it serves, and what is still to be sent when it ends.
pub(crate) struct Traces {
    handle: http::Traces,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

impl Traces {
    /// Sends from now on what so many workers hand over.
    ///
    /// # Errors
    ///
    /// The file of authorities can't be used.
    pub(crate) fn start(said: &Said, workers: usize) -> anyhow::Result<Self> {
        let outcome = |outcome| counter!(TRACES, "outcome" => outcome);
        let queue = Arc::new(Queue::new(workers, said.queue, said.batch, outcome("dropped")));
        let handle = http::Traces::new(said.share, Queued(Arc::clone(&queue)));
        let sender = Sender {
            collector: Collector::new(said).context("traces can't be sent")?,
            spans: Spans::new(said.methods.clone()),
            queue: Arc::clone(&queue),
            batch: said.batch,
            delay: said.delay,
            is_away: false,
            sent: outcome("ok"),
            failed: outcome("failed"),
        };
        tracing::info!(
            "traces are sent to {} by {}: of {} % of the requests that don't say whether they \
             are traced",
            said.shown(),
            said.protocol,
            said.share * 100.0
        );
        if said.wants_compression {
            tracing::warn!("OTEL_EXPORTER_OTLP_COMPRESSION is ignored: traces are not compressed");
        }
        Ok(Self { handle, queue, task: tokio::spawn(sender.run()) })
    }

    /// What the proxy is told of it.
    pub(crate) fn handle(&self) -> http::Traces {
        self.handle.clone()
    }

    /// Sends what is left, for so long at the most.
    pub(crate) async fn end(mut self, limit: Duration) {
        self.queue.close();
        let limit = if self.queue.is_stuck() { limit.min(LAST_TRY) } else { limit };
        if time::timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last traces could not be sent within {limit:?}");
        }
    }
}

/// Waits for traces, and sends them.
struct Sender {
    collector: Collector,
    spans: Spans,
    queue: Arc<Queue>,
    batch: usize,
    delay: Duration,
    is_away: bool,
    sent: Counter,
    failed: Counter,
}

impl Sender {
    async fn run(mut self) {
        loop {
            // Looked at first: what came before the end is still to be sent.
            let is_last = self.queue.is_closed();
            let (mut spans, mut traces) = (Vec::new(), 0);
            for trace in self.queue.take() {
                self.spans.of(&trace, &mut spans);
                traces += 1;
                if spans.len() >= self.batch {
                    self.send(std::mem::take(&mut spans), traces).await;
                    traces = 0;
                }
            }
            if traces > 0 {
                self.send(spans, traces).await;
            }
            if is_last {
                return;
            }
            // As many as make a batch may have come meanwhile.
            let _ = time::timeout(self.delay, self.queue.filled()).await;
        }
    }

    async fn send(&mut self, spans: Vec<SpanData>, traces: u64) {
        match self.collector.send(spans).await {
            Ok(()) => {
                self.sent.increment(traces);
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("traces are sent again");
                }
            }
            Err(error) => {
                self.failed.increment(traces);
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!("traces can't be sent and are lost until they can: {error}");
                }
            }
        }
        self.queue.set_stuck(self.is_away);
    }
}
