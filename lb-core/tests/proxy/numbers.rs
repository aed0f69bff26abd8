//! What metrics say.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use lb_core::{
    Endpoint,
    http::Options,
    registry::{Binding, Protocol},
};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder,
};

use super::support::{self, Backend, Lb};

/// Knows counters and gauges by their name and the value of their last label.
#[derive(Default)]
pub(crate) struct Numbers(Mutex<HashMap<(String, String), Arc<AtomicU64>>>);

impl Numbers {
    pub(crate) fn counter(&self, name: &str, label: &str) -> u64 {
        let key = (name.to_owned(), label.to_owned());
        self.0.lock().unwrap()[&key].load(Ordering::Relaxed)
    }

    fn gauge(&self, name: &str, label: &str) -> f64 {
        f64::from_bits(self.counter(name, label))
    }

    fn register(&self, key: &Key) -> Arc<AtomicU64> {
        let label = key.labels().last().map_or("", |label| label.value());
        let key = (key.name().to_owned(), label.to_owned());
        Arc::clone(self.0.lock().unwrap().entry(key).or_default())
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn an_endpoint_that_is_spoken_to_in_two_ways_is_one() {
    let numbers = Numbers::default();
    let _recorder = set_default_local_recorder(&numbers);
    let backend = Backend::slow("slow").await;
    let lb = Lb::start(Options::default()).await;
    let mut registration = support::registration("1", "a.local", backend.address);
    let mut other = Binding::new("b.local".parse().unwrap(), Some(backend.address));
    other.protocol = Protocol::Http2;
    registration.bindings.push(other);
    lb.send("1", Endpoint::new(registration));
    lb.ready("a.local", 1).await;
    let mut client = lb.client().await;
    let answer = tokio::spawn(async move { client.get("a.local", "/").await });
    backend.reached().await;
    lb.plane.observe();
    assert_eq!(numbers.gauge("lb_requests_in_flight", "1"), 1.0);
    backend.release();
    assert_eq!(answer.await.unwrap().status, 200);
    // Its last byte is there before the connection is free.
    lb.until(|| lb.report("a.local").endpoints[0].in_flight == 0).await;
    lb.plane.observe();
    assert_eq!(numbers.gauge("lb_requests_in_flight", "1"), 0.0);
    assert_eq!(numbers.gauge("lb_upstream_idle_connections", "1"), 1.0);
}

#[tokio::test]
async fn what_was_reused_is_counted_of_who_leaves_before_anybody_looks() {
    let numbers = Numbers::default();
    let _recorder = set_default_local_recorder(&numbers);
    let backend = Backend::hello("hello").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "app.local", backend.address);
    lb.ready("app.local", 1).await;
    let mut client = lb.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("app.local", "/").await.status, 200);
        lb.until(|| lb.report("app.local").endpoints[0].in_flight == 0).await;
    }
    let reused = || numbers.counter("lb_upstream_reused_connections_total", "1");
    lb.plane.observe();
    assert_eq!(reused(), 2);
    assert_eq!(client.get("app.local", "/").await.status, 200);
    lb.remove("1");
    lb.until(|| reused() > 2).await;
    assert_eq!(reused(), 3, "each is counted once");
}
