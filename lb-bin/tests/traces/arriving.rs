//! How traces get to a collector.

use crate::{
    collector::{Collector, Protocol, by_tls, send_to},
    endpoint::{Endpoint, HOST, before},
};

#[tokio::test]
async fn the_variables_of_opentelemetry_are_enough_and_its_headers_stay_secret() {
    for protocol in Protocol::BOTH {
        let (collector, endpoint) = (Collector::start(protocol), Endpoint::http1().await);
        let lb = before(&endpoint, |lb| {
            lb.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
            lb.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name());
            lb.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret,x-tenant=one");
            lb.env("OTEL_BSP_SCHEDULE_DELAY", "10").env("LB_LOG", "trace");
        })
        .await;
        assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
        collector.take(2).await;
        let headers = collector.headers();
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert_eq!(headers["x-tenant"], "one");
        assert!(!lb.log().contains("s3cret"), "{}", lb.log());
    }
}

#[tokio::test]
async fn a_collector_is_spoken_to_by_tls() {
    for protocol in Protocol::BOTH {
        let (collector, endpoint) = (Collector::start(protocol), Endpoint::http1().await);
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let (url, _relay) = by_tls(&collector, &ca).await;
        let lb = before(&endpoint, |lb| {
            send_to(lb, &url, protocol);
            lb.env("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca);
        })
        .await;
        assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
        collector.take(2).await;

        // Nobody else is believed.
        let other = before(&endpoint, |lb| send_to(lb, &url, protocol)).await;
        assert_eq!(other.client().await.get(HOST, "/").await.unwrap().status, 200);
        other
            .says("traces can't be sent and are lost until they can: invalid peer certificate")
            .await;
        assert_eq!(collector.spans().len(), 0);
    }
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_before_it() {
    for protocol in Protocol::BOTH {
        let (collector, endpoint) = (Collector::start(protocol), Endpoint::http1().await);
        let mut lb = before(&endpoint, |lb| {
            send_to(lb, &collector.url(), protocol);
            // Longer than any test.
            lb.env("OTEL_BSP_SCHEDULE_DELAY", "900000");
        })
        .await;
        let mut client = lb.client().await;
        for _ in 0..10 {
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        }
        // Cut off, it is a trace as well.
        let mut tunnel = lb.client().await;
        tunnel.upgrade(HOST).await;
        tunnel.echo("ping").await;
        drop((client, tunnel));
        lb.signal("TERM").await;
        assert!(lb.ended().await.success(), "{}", lb.log());
        assert_eq!(collector.spans().len(), 22);
    }
}
