//! Which requests are traced.

use std::fs;

use crate::{
    client::Client,
    collector::{Collector, Protocol, send_to},
    endpoint::{Endpoint, HOST, before},
    lb::{Lb, control, tell},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn ask(client: &mut Client, flags: &str) {
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {HOST}\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-{flags}\r\n\r\n"
    );
    client.write(&request).await.unwrap();
    assert_eq!(client.receive().await.unwrap().status, 200);
}

#[tokio::test]
async fn parents_decide_if_they_are_believed_and_else_the_share() {
    for (share, trust, traced) in [
        ("0", "true", &["01"][..]),
        ("1", "127.0.0.0/8", &["01"]),
        ("0", "10.0.0.0/8", &[]),
        ("1", "false", &["00", "01"]),
    ] {
        let (collector, endpoint) = (Collector::start(Protocol::Http), Endpoint::http1().await);
        let mut lb = before(&endpoint, |lb| {
            send_to(lb, &collector.url(), Protocol::Http);
            lb.env("LB_TRACES_SAMPLE", share).env("TRUST_DOWNSTREAM_PROXY", trust);
        })
        .await;
        let mut client = lb.client().await;
        for flags in ["00", "01"] {
            ask(&mut client, flags).await;
            let (told, is_traced) = (endpoint.last("traceparent"), traced.contains(&flags));
            let expected = if is_traced { "-01" } else { "-00" };
            assert!(told.contains(TRACE) && told.ends_with(expected), "{share} {trust}: {told}");
        }
        drop(client);
        // All that there are have arrived when it has ended.
        lb.signal("TERM").await;
        assert!(lb.ended().await.success());
        assert_eq!(collector.spans().len(), 2 * traced.len(), "{share} {trust}");
    }
}

#[tokio::test]
async fn without_a_parent_it_is_the_share() {
    let (collector, endpoint) = (Collector::start(Protocol::Http), Endpoint::http1().await);
    let mut lb = before(&endpoint, |lb| {
        send_to(lb, &collector.url(), Protocol::Http);
        lb.args(["--traces-sample=0.5", "--request-id=off"]);
    })
    .await;
    let mut client = lb.client().await;
    for _ in 0..200 {
        assert_eq!(client.get(HOST, "/").await.unwrap().status, 200);
    }
    drop(client);
    lb.signal("TERM").await;
    assert!(lb.ended().await.success());
    let told = endpoint.told().into_iter().map(|headers| headers["traceparent"].clone());
    let sampled = told.filter(|parent| parent.as_bytes().ends_with(b"-01")).count();
    // Less likely than once in a million runs otherwise.
    assert!((60..=140).contains(&sampled), "{sampled} of 200");
    assert_eq!(collector.spans().len(), 2 * sampled);
}

#[tokio::test]
async fn the_share_changes_with_a_reload_and_the_collector_does_not() {
    let (collector, endpoint) = (Collector::start(Protocol::Http), Endpoint::http1().await);
    let (folder, control) = (tempfile::tempdir().unwrap(), control());
    let path = folder.path().join("lb.toml");
    let write = |url: &str, share: &str| {
        let text = format!(
            "traces = {url:?}\ntraces_sample = {share}\n[[service]]\nhost = {HOST:?}\n\
             endpoints = [\"{}\"]\n",
            endpoint.address
        );
        fs::write(&path, text).unwrap();
    };
    write(&collector.url(), "0.0");
    let lb = Lb::start(|lb| {
        lb.arg("--config").arg(&path).env("LB_CONTROL", &control);
        lb.env("OTEL_BSP_SCHEDULE_DELAY", "10");
    })
    .await;
    lb.ready(HOST, 1).await;
    assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
    assert!(endpoint.last("traceparent").ends_with("-00"));

    write(&collector.url(), "1");
    assert_eq!(tell(&control, &["reload"]).await.unwrap(), "the configuration is reloaded");
    assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
    assert_eq!(collector.take(2).await.len(), 2);

    write("http://127.0.0.1:1", "1");
    let done = tell(&control, &["reload"]).await.unwrap();
    assert!(done.contains("where traces are sent can't change while it runs"), "{done}");
    assert_eq!(lb.client().await.get(HOST, "/").await.unwrap().status, 200);
    assert_eq!(collector.take(2).await.len(), 2);
}
