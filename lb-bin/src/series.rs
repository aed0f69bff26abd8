//! What has been recorded, as Prometheus reads it: a recorder in front of the
//! exporter that lets go of a series when nobody holds its handle any more.
//!
//! The exporter forgets what has been idle for a while, which is the wrong
//! question: a container may be idle for hours, and one that is gone should go
//! at once. So every counter and gauge is touched before each scrape for as long
//! as somebody could still write to it, and the idle ones are those nobody can.
//! Who records must keep its handle, then, as everything here does.
//!
//! Histograms are kept here: the exporter stores each value until the next scrape,
//! which a request has to make room for, and adds all of them up then.

mod histogram;
mod text;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use lb_core::metrics::Description;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;

use self::histogram::Histogram;
use crate::process;

/// How long what is gone may be remembered, if nobody scrapes.
pub(crate) const FORGETS: Duration = Duration::from_secs(60);

/// Renders what has been recorded.
#[derive(Clone)]
pub(crate) struct Series {
    handle: PrometheusHandle,
    live: Arc<Live>,
}

struct Live {
    /// The bounds of buckets, by the histogram's name.
    buckets: HashMap<&'static str, &'static [f64]>,
    handles: Mutex<Handles>,
}

#[derive(Default)]
struct Handles {
    counters: Vec<Weak<TrackedCounter>>,
    gauges: Vec<Weak<TrackedGauge>>,
    histograms: BTreeMap<Key, Weak<Histogram>>,
    /// What histograms mean, by name.
    meanings: HashMap<KeyName, SharedString>,
    /// When the exporter last had a reason to forget.
    rendered: Option<Instant>,
}

impl Handles {
    fn touch(&mut self) {
        self.counters
            .retain(|series| series.upgrade().map(|series| series.0.increment(0)).is_some());
        self.gauges
            .retain(|series| series.upgrade().map(|series| series.0.increment(0.0)).is_some());
        self.histograms.retain(|_, series| series.strong_count() > 0);
    }

    /// The histograms, those of one family together.
    fn write_histograms(&self, text: &mut String) {
        let mut family = "";
        for (key, series) in &self.histograms {
            let Some(series) = series.upgrade() else { continue };
            if key.name() != family {
                family = key.name();
                let meaning = self.meanings.get(family).map_or("", |meaning| meaning);
                text::family(text, family, "histogram", meaning);
            }
            text::histogram(text, key, &series.snapshot());
        }
    }
}

impl Series {
    /// A recorder to install, and what renders it. Histograms have the buckets that
    /// these descriptions say; one of which nothing is said has none but the last.
    pub(crate) fn new(
        described: impl IntoIterator<Item = &'static Description>,
    ) -> (impl Recorder + Send + Sync + 'static, Self) {
        let inner = PrometheusBuilder::new()
            .idle_timeout(
                MetricKindMask::COUNTER | MetricKindMask::GAUGE,
                Some(Duration::from_millis(1)),
            )
            .build_recorder();
        let buckets = described.into_iter().map(|metric| (metric.name, metric.buckets)).collect();
        let live = Arc::new(Live { buckets, handles: Mutex::default() });
        let series = Self { handle: inner.handle(), live: Arc::clone(&live) };
        (Tracking { inner, live }, series)
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        // Held throughout: what another scrape touches, or what is registered
        // again, between our touch and our look would pass for idle.
        let mut handles = lock(&self.live.handles);
        handles.touch();
        handles.rendered = Some(Instant::now());
        let mut text = self.handle.render();
        handles.write_histograms(&mut text);
        drop(handles);
        for (metric, value) in process::read() {
            text::family(&mut text, metric.name, metric.kind.name(), metric.help);
            text::single(&mut text, metric.name, value);
        }
        text
    }

    /// Has the exporter forget what is gone, where nobody scrapes: it does so only while
    /// it renders. To be called every [`FORGETS`].
    pub(crate) fn forget(&self) {
        let rendered = lock(&self.live.handles).rendered;
        if rendered.is_none_or(|last| last.elapsed() >= FORGETS) {
            self.render();
        }
    }
}

struct Tracking {
    inner: PrometheusRecorder,
    live: Arc<Live>,
}

struct TrackedCounter(Counter);

struct TrackedGauge(Gauge);

impl Recorder for Tracking {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        lock(&self.live.handles).meanings.insert(key, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let mut handles = lock(&self.live.handles);
        let tracked = Arc::new(TrackedCounter(self.inner.register_counter(key, metadata)));
        handles.counters.push(Arc::downgrade(&tracked));
        Counter::from_arc(tracked)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let mut handles = lock(&self.live.handles);
        let tracked = Arc::new(TrackedGauge(self.inner.register_gauge(key, metadata)));
        handles.gauges.push(Arc::downgrade(&tracked));
        Gauge::from_arc(tracked)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let bounds = self.live.buckets.get(key.name()).copied().unwrap_or_default();
        let mut handles = lock(&self.live.handles);
        let series = handles.histograms.entry(key.clone()).or_default();
        let histogram = series.upgrade().unwrap_or_else(|| Arc::new(Histogram::new(bounds)));
        *series = Arc::downgrade(&histogram);
        metrics::Histogram::from_arc(histogram)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CounterFn for TrackedCounter {
    fn increment(&self, value: u64) {
        self.0.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
    }
}

impl GaugeFn for TrackedGauge {
    fn increment(&self, value: f64) {
        self.0.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
    }
}

#[cfg(test)]
mod tests {
    use lb_core::metrics::Topic;
    use metrics::{counter, gauge, histogram, with_local_recorder};

    use super::*;

    /// Renders until `text` is gone: the exporter decides by its clock.
    fn goes(series: &Series, text: &str) {
        while series.render().contains(text) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_series_lives_as_long_as_its_handle() {
        let (recorder, series) = Series::new([]);
        let (a, b, idle) = with_local_recorder(&recorder, || {
            let counter = |name: &'static str| counter!("requests_total", "endpoint" => name);
            (counter("a"), counter("b"), gauge!("idle", "endpoint" => "a"))
        });
        a.increment(1);
        b.increment(2);
        idle.set(3.0);
        assert!(series.render().contains("requests_total{endpoint=\"a\"} 1"));

        drop((a, idle));
        goes(&series, "endpoint=\"a\"");
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(2));
            let text = series.render();
            assert!(text.contains("requests_total{endpoint=\"b\"} 2"), "{text}");
        }
    }

    #[test]
    fn what_is_gone_goes_though_nobody_scrapes() {
        let (recorder, series) = Series::new([]);
        drop(with_local_recorder(&recorder, || counter!("n_total")));
        series.forget();
        // The exporter asks its own clock how long nothing has been heard.
        std::thread::sleep(Duration::from_millis(2));
        lock(&series.live.handles).rendered = None;
        series.forget();
        assert!(!series.render().contains("n_total"), "a first look would show it");
    }

    #[test]
    fn scrapes_at_the_same_time_lose_nothing() {
        let (recorder, series) = Series::new([]);
        let handles: Vec<_> = with_local_recorder(&recorder, || {
            (0..2000).map(|n| counter!("n_total", "endpoint" => n.to_string())).collect()
        });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| drop(series.render())));
            }
        });
        assert_eq!(series.render().matches("n_total{").count(), handles.len());
    }

    #[test]
    fn one_that_comes_back_counts_again() {
        let (recorder, series) = Series::new([]);
        let register = || with_local_recorder(&recorder, || counter!("n_total", "endpoint" => "a"));
        drop(register());
        goes(&series, "n_total{");
        register().increment(5);
        let again = register();
        again.increment(1);
        assert!(series.render().contains("n_total{endpoint=\"a\"} 6"));
    }

    #[test]
    fn a_histogram_is_written_whole_and_lives_as_long_as_its_handle() {
        const SIZE: Description =
            Description::seconds(Topic::Services, "took_seconds", &[0.5, 2.0], "How long it took.");
        let (recorder, series) = Series::new([&SIZE]);
        let register = |endpoint: &'static str| {
            with_local_recorder(&recorder, || histogram!(SIZE.name, "endpoint" => endpoint))
        };
        with_local_recorder(&recorder, || SIZE.describe());
        let (a, b, again) = (register("a\"b"), register("b"), register("b"));
        a.record(0.25);
        for value in [0.5, 1.0, 3.0] {
            b.record(value);
        }
        again.record(8.0);
        let written = "\
# HELP took_seconds How long it took.
# TYPE took_seconds histogram
took_seconds_bucket{endpoint=\"a\\\"b\",le=\"0.5\"} 1
took_seconds_bucket{endpoint=\"a\\\"b\",le=\"2\"} 1
took_seconds_bucket{endpoint=\"a\\\"b\",le=\"+Inf\"} 1
took_seconds_sum{endpoint=\"a\\\"b\"} 0.25
took_seconds_count{endpoint=\"a\\\"b\"} 1
took_seconds_bucket{endpoint=\"b\",le=\"0.5\"} 1
took_seconds_bucket{endpoint=\"b\",le=\"2\"} 2
took_seconds_bucket{endpoint=\"b\",le=\"+Inf\"} 4
took_seconds_sum{endpoint=\"b\"} 12.5
took_seconds_count{endpoint=\"b\"} 4
";
        let text = series.render();
        assert!(text.contains(written), "{text}");

        drop(b);
        assert!(series.render().contains("endpoint=\"b\""), "somebody else holds it");
        drop(again);
        assert!(!series.render().contains("endpoint=\"b\""));
        register("b").record(1.0);
        assert!(!series.render().contains("endpoint=\"b\""));
        let back = register("b");
        back.record(1.0);
        assert!(series.render().contains("took_seconds_count{endpoint=\"b\"} 1"));
        drop((a, back));
        assert!(!series.render().contains("took_seconds"), "nor is an empty family left");
    }

    #[test]
    fn the_process_is_part_of_it() {
        let (_recorder, series) = Series::new([]);
        let text = series.render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 4096.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") < value("process_start_time_seconds"));
        assert!(text.contains("# TYPE process_cpu_seconds_total counter"), "{text}");
    }
}
