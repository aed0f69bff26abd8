//! What gauges say.
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

/// Knows gauges by their names.
#[derive(Default)]
struct Gauges(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Gauges {
    fn get(&self, name: &str) -> f64 {
        f64::from_bits(self.0.lock().unwrap()[name].load(Ordering::Relaxed))
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut known = self.0.lock().unwrap();
        Gauge::from_arc(Arc::clone(known.entry(key.name().to_owned()).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn an_endpoint_that_is_spoken_to_in_two_ways_is_one() {
    let gauges = Gauges::default();
    let _recorder = set_default_local_recorder(&gauges);
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
    assert_eq!(gauges.get("lb_requests_in_flight"), 1.0);
    backend.release();
    assert_eq!(answer.await.unwrap().status, 200);
    // Its last byte is there before the connection is free.
    lb.until(|| lb.report("a.local").endpoints[0].in_flight == 0).await;
    lb.plane.observe();
    assert_eq!(gauges.get("lb_requests_in_flight"), 0.0);
    assert_eq!(gauges.get("lb_upstream_idle_connections"), 1.0);
}
