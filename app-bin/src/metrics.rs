//! What the server records for Prometheus.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
};

/// One metric: what it is called, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a counter, a gauge or a histogram.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in its unit.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

/// Name of the histogram of the times to answer.
pub const DURATION_METRIC: &str = "app_request_duration_seconds";

/// Name of the gauge of the health, which whoever shows the metrics has to set.
pub const HEALTHY_METRIC: &str = "app_healthy";

/// Upper bounds of the histogram's buckets, in seconds: from what an idle
/// server needs to what a drain waits for. The recorder must be told, since it
/// owns the buckets.
pub const DURATION_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

const REQUESTS_METRIC: &str = "app_requests_total";
const IN_FLIGHT_METRIC: &str = "app_in_flight_requests";
const CONNECTIONS_METRIC: &str = "app_connections";
const BUILD_METRIC: &str = "app_build_info";

/// All that the binary shows. Those that begin with `process_` are of the crate
/// `metrics-process`.
pub const METRICS: &[Metric] = &[
    metric(
        MetricKind::Counter,
        REQUESTS_METRIC,
        &["code"],
        "Requests by the status answered; none: the client left or the server ended before that.",
    ),
    metric(
        MetricKind::Histogram,
        DURATION_METRIC,
        &[],
        "Seconds from the head of a request to the head of its answer.",
    ),
    metric(MetricKind::Gauge, IN_FLIGHT_METRIC, &[], "Requests received and not answered yet."),
    metric(MetricKind::Gauge, CONNECTIONS_METRIC, &[], "Connections of clients that are open."),
    metric(MetricKind::Gauge, HEALTHY_METRIC, &[], "1 while it says it is healthy, else 0."),
    metric(MetricKind::Gauge, BUILD_METRIC, &["version"], "Always 1; its label tells the build."),
    metric(
        MetricKind::Counter,
        "process_cpu_seconds_total",
        &[],
        "Processor time used, in user and system mode, in whole seconds.",
    ),
    metric(MetricKind::Gauge, "process_resident_memory_bytes", &[], "Memory that is resident."),
    metric(MetricKind::Gauge, "process_virtual_memory_bytes", &[], "Memory that is mapped."),
    metric(
        MetricKind::Gauge,
        "process_virtual_memory_max_bytes",
        &[],
        "Memory that may be mapped; 0 without a limit.",
    ),
    metric(MetricKind::Gauge, "process_open_fds", &[], "File descriptors that are open."),
    metric(MetricKind::Gauge, "process_max_fds", &[], "File descriptors that may be open."),
    metric(MetricKind::Gauge, "process_threads", &[], "Threads."),
    metric(
        MetricKind::Gauge,
        "process_start_time_seconds",
        &[],
        "When the process was started, in Unix time.",
    ),
];

const fn metric(
    kind: MetricKind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, labels, help }
}

/// The lowest code a counter is kept for, and one above the highest.
const CODES: std::ops::Range<u16> = 100..600;

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Where a server's metrics go. The default keeps none.
///
/// - `app_requests_total{code}`, a counter of requests by the status answered,
///   `none` when the client left or the server ended before the answer;
/// - `app_request_duration_seconds`, a histogram of the time from the request's
///   head to the answer's;
/// - `app_in_flight_requests`, a gauge of requests not answered yet;
/// - `app_connections`, a gauge of open connections;
/// - `app_build_info{version}`, always 1.
///
/// They are handles of one recorder, and not of the process, so that servers
/// that share a process can have a recorder each, or labels that tell them apart.
#[derive(Default)]
pub struct Metrics(Option<Box<Handles>>);

impl Metrics {
    /// Records into `recorder`, every series with these labels added.
    #[must_use]
    pub fn new(recorder: Arc<dyn Recorder + Send + Sync>, labels: Vec<Label>) -> Self {
        for Metric { name, kind, help, .. } in METRICS {
            let (name, help) = (KeyName::from(*name), SharedString::from(*help));
            match kind {
                MetricKind::Counter => recorder.describe_counter(name, None, help),
                MetricKind::Gauge => recorder.describe_gauge(name, None, help),
                MetricKind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }

        let version = Label::new("version", env!("CARGO_PKG_VERSION"));
        let build = Key::from_parts(BUILD_METRIC, with(&labels, version));
        recorder.register_gauge(&build, &METADATA).set(1.0);

        let handles = Handles {
            by_code: CODES.map(|_| OnceLock::new()).collect(),
            unanswered: register_code(&*recorder, &labels, "none"),
            duration: recorder
                .register_histogram(&Key::from_parts(DURATION_METRIC, labels.clone()), &METADATA),
            in_flight: recorder
                .register_gauge(&Key::from_parts(IN_FLIGHT_METRIC, labels.clone()), &METADATA),
            connections: recorder
                .register_gauge(&Key::from_parts(CONNECTIONS_METRIC, labels.clone()), &METADATA),
            recorder,
            labels,
        };
        // The answers the server gives of itself exist from the start: a rate
        // over a series needs its zero.
        for code in [200, 400, 500] {
            handles.code(code);
        }
        Self(Some(Box::new(handles)))
    }

    /// A connection was opened.
    pub(crate) fn connected(&self) {
        if let Some(handles) = &self.0 {
            handles.connections.increment(1.0);
        }
    }

    /// A connection has closed.
    pub(crate) fn disconnected(&self) {
        if let Some(handles) = &self.0 {
            handles.connections.decrement(1.0);
        }
    }

    /// A request came in.
    pub(crate) fn began(&self) {
        if let Some(handles) = &self.0 {
            handles.in_flight.increment(1.0);
        }
    }

    /// A request ended: with this answer, or with none.
    pub(crate) fn ended(&self, answer: Option<StatusCode>, after: Duration) {
        let Some(handles) = &self.0 else { return };
        handles.in_flight.decrement(1.0);
        match answer {
            Some(status) => {
                handles.code(status.as_u16()).increment(1);
                handles.duration.record(after);
            }
            None => handles.unanswered.increment(1),
        }
    }

    /// Whether anything is recorded; telling the time for nobody is wasted.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

struct Handles {
    /// Registered when a code is first answered: there are hundreds, and a
    /// server answers a few.
    by_code: Box<[OnceLock<Counter>]>,
    unanswered: Counter,
    duration: Histogram,
    in_flight: Gauge,
    connections: Gauge,
    recorder: Arc<dyn Recorder + Send + Sync>,
    labels: Vec<Label>,
}

impl Handles {
    fn code(&self, code: u16) -> &Counter {
        let slot =
            code.checked_sub(CODES.start).and_then(|index| self.by_code.get(usize::from(index)));
        match slot {
            Some(slot) => {
                slot.get_or_init(|| register_code(&*self.recorder, &self.labels, &code.to_string()))
            }
            // No such status is ever answered.
            None => &self.unanswered,
        }
    }
}

fn register_code(recorder: &dyn Recorder, labels: &[Label], code: &str) -> Counter {
    let labels = with(labels, Label::new("code", code.to_owned()));
    recorder.register_counter(&Key::from_parts(REQUESTS_METRIC, labels), &METADATA)
}

fn with(labels: &[Label], more: Label) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(more);
    labels
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn records_what_it_says() {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let prometheus = recorder.handle();
        let metrics = Metrics::new(recorder, vec![Label::new("app", "web-1")]);

        for answer in [Some(StatusCode::OK), Some(StatusCode::IM_A_TEAPOT), None] {
            metrics.began();
            metrics.ended(answer, Duration::from_millis(1));
        }
        metrics.began();
        metrics.connected();
        metrics.connected();
        metrics.disconnected();

        let text = prometheus.render();
        for line in [
            r#"app_requests_total{app="web-1",code="200"} 1"#,
            r#"app_requests_total{app="web-1",code="418"} 1"#,
            r#"app_requests_total{app="web-1",code="none"} 1"#,
            r#"app_requests_total{app="web-1",code="500"} 0"#,
            r#"app_request_duration_seconds_count{app="web-1"} 2"#,
            r#"app_in_flight_requests{app="web-1"} 1"#,
            r#"app_connections{app="web-1"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
        assert!(text.contains(r#"app_build_info{app="web-1",version=""#), "{text}");
    }

    #[test]
    fn two_servers_do_not_clash() {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let prometheus = recorder.handle();
        let server =
            |name: &'static str| Metrics::new(recorder.clone(), vec![Label::new("app", name)]);
        let (one, _two) = (server("one"), server("two"));
        one.began();
        let text = prometheus.render();
        assert!(text.contains(r#"app_in_flight_requests{app="one"} 1"#), "{text}");
        assert!(text.contains(r#"app_in_flight_requests{app="two"} 0"#), "{text}");
    }
}
