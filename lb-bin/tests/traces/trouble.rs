//! Collectors that are away, or take their time.

use std::time::Duration;

use tokio::time;

use crate::{
    collector::{Collector, Protocol, send_to},
    endpoint::{Endpoint, HOST, before},
    lb::{LIMIT, Lb},
    reserved::Reserved,
};

/// Waits until so many traces, or more, have come to this end.
async fn counted(lb: &Lb, outcome: &str, at_least: u64) {
    let line = format!("lb_traces_exported_total{{outcome=\"{outcome}\"}} ");
    let counted = time::timeout(LIMIT, async {
        loop {
            let text = lb.ask("/metrics").await.1;
            let count = text.lines().find_map(|told| told.strip_prefix(&line)?.parse::<u64>().ok());
            if count.is_some_and(|count| count >= at_least) {
                return;
            }
            time::sleep(Duration::from_millis(5)).await;
        }
    });
    if counted.await.is_err() {
        panic!("never {at_least} {outcome}: {}", lb.ask("/metrics").await.1);
    }
}

#[tokio::test]
async fn one_that_is_away_costs_nobody_anything_and_may_come_back() {
    for protocol in Protocol::BOTH {
        let (reserved, endpoint) = (Reserved::new(), Endpoint::http1().await);
        let url = format!("http://{}", reserved.address());
        let lb = before(&endpoint, |lb| send_to(lb, &url, protocol)).await;
        let mut client = lb.client().await;
        for number in 1..=3 {
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
            counted(&lb, "failed", number).await;
        }
        let away = "traces can't be sent and are lost until they can: Connection refused";
        assert_eq!(lb.log().matches(away).count(), 1, "{}", lb.log());

        let collector = Collector::at(reserved, protocol);
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        assert_eq!(collector.take(2).await.len(), 2);
        counted(&lb, "ok", 1).await;
        lb.says("traces are sent again").await;
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        counted(&lb, "ok", 2).await;
        assert_eq!(lb.log().matches("traces are sent again").count(), 1, "{}", lb.log());
        assert_eq!(lb.log().matches("WARN traces").count(), 1, "{}", lb.log());
    }
}

#[tokio::test]
async fn one_that_hangs_loses_what_there_is_no_room_for() {
    for protocol in Protocol::BOTH {
        let (collector, endpoint) = (Collector::start(protocol), Endpoint::http1().await);
        collector.hangs(true);
        let mut lb = before(&endpoint, |lb| {
            send_to(lb, &collector.url(), protocol);
            lb.env("OTEL_BSP_MAX_QUEUE_SIZE", "10").env("LB_WORKERS", "1");
            lb.env("LB_DRAIN_TIMEOUT", "1s");
        })
        .await;
        let mut client = lb.client().await;
        // Ten wait to be sent, ten or less are being sent.
        for _ in 0..40 {
            assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
        }
        counted(&lb, "dropped", 20).await;
        drop(client);
        lb.signal("TERM").await;
        assert!(lb.ended().await.success(), "{}", lb.log());
        lb.says("the last traces could not be sent within").await;
    }
}
