//! What is shown of the balancer: what the reference says, and no more series than
//! there are things to show.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    client::Client,
    https,
    lb::{LIMIT, Lb, Process, command},
    prometheus::Metrics,
    reference::Reference,
    reload::{Configured, service},
    site::Site,
};

/// Families that are there with Docker or an ACME server alone: what they are like is
/// seen to where these are, in tests/e2e and in acme.rs.
const ELSEWHERE: [&str; 2] = ["lb_discovery_", "lb_acme_"];

async fn metrics(lb: &Lb) -> Metrics {
    let (status, text) = lb.ask("/metrics").await;
    assert_eq!(status, 200);
    Metrics::parse(&text).unwrap()
}

/// Waits until this is so.
async fn until(lb: &Lb, what: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
    let so = tokio::time::timeout(LIMIT, async {
        loop {
            let now = metrics(lb).await;
            if is_so(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    match so.await {
        Ok(metrics) => metrics,
        Err(_) => panic!("waited for {what}: {}", lb.ask("/metrics").await.1),
    }
}

#[tokio::test]
async fn what_is_shown_is_what_the_reference_says() {
    let folder = tempfile::tempdir().unwrap();
    https::put(folder.path(), "app.test");
    let site = Site::start("one");
    let lb = Lb::start(|command| {
        command
            .args(["--listen-tls=127.0.0.1:0", "--upstream"])
            .arg(format!("app.test={}", site.address));
        command.arg("--certificates").arg(folder.path());
        command.env("LB_ACCESS_LOG", folder.path().join("access.log"));
        // Nobody listens there, and nothing is sent.
        command.env("LB_TRACES", "http://127.0.0.1:1");
    })
    .await;
    lb.ready("app.test", 1).await;
    let reference = Reference::read();
    let of_certificates = "lb_certificate_expiry_timestamp_seconds";
    let shown = until(&lb, "the certificate", |now| now.of(of_certificates).count() > 0).await;
    reference.has(&shown).unwrap();
    let shown: BTreeSet<_> = shown.families().map(|(name, _)| name).collect();
    let here = |name: &&str| !ELSEWHERE.iter().any(|begin| name.starts_with(begin));
    let said: BTreeSet<_> = reference.names().into_iter().filter(here).collect();
    assert_eq!(shown, said);
    for begin in ELSEWHERE {
        assert!(reference.names().iter().any(|name| name.starts_with(begin)), "{begin}");
    }
}

/// Series for each service, for each endpoint, and for each service of an endpoint.
const OF_A_SERVICE: usize = 89;
const OF_AN_ENDPOINT: usize = 11;
const OF_BOTH: usize = 23;

#[tokio::test]
async fn who_comes_and_goes_leaves_no_series_and_who_asks_makes_none() {
    let stays = Site::start("stays");
    let before = "wait = \"100ms\"\n".to_owned() + &service("app.local", &[&stays]);
    let here = Configured::start(&before).await;
    let lb = &here.lb;
    lb.ready("app.local", 1).await;
    let at_first = metrics(lb).await.series();

    // Whatever somebody asks for.
    let mut client = lb.client().await;
    for number in 0..100 {
        let path = format!("/{number}?q={number}");
        let unknown = client.get(&format!("host-{number}.example"), &path).await.unwrap();
        assert_eq!((unknown.status, unknown.closes), (503, false));
        assert_eq!(client.get("app.local", &path).await.unwrap().status, 200);
    }
    assert_eq!(metrics(lb).await.series(), at_first);

    let come: Vec<_> = (0..50).map(|number| Site::start(&number.to_string())).collect();
    let hosts: Vec<_> = (0..5).map(|number| format!("host-{number}.local")).collect();
    let mut more = before.clone();
    for (host, sites) in hosts.iter().zip(come.chunks(10)) {
        more += &service(host, &sites.iter().collect::<Vec<_>>());
    }
    here.reload(&more).await.unwrap();
    for host in &hosts {
        lb.ready(host, 10).await;
        for _ in 0..20 {
            assert_eq!(client.get(host, "/").await.unwrap().status, 200);
        }
    }
    let now = metrics(lb).await;
    for site in &come {
        let endpoint = [("endpoint", &*site.address.to_string())];
        let asked = now.count("lb_requests_total", &endpoint);
        let took = now.count("lb_upstream_request_duration_seconds_count", &endpoint);
        assert_eq!((asked, took), (site.requests(), site.requests()), "{endpoint:?}");
    }
    let added = now.series().len() - at_first.len();
    let said = hosts.len() * OF_A_SERVICE + come.len() * (OF_AN_ENDPOINT + OF_BOTH);
    assert_eq!(added, said, "docs/metrics.md says how many, and so does this test");

    here.reload(&before).await.unwrap();
    let after = until(lb, "the series to go", |now| now.series() == at_first).await;
    assert_eq!(after.count("lb_drains_total", &[("outcome", "finished")]), 50);
    assert_eq!(after.count("lb_drain_duration_seconds_count", &[]), 50);
    assert_eq!(
        after.count("lb_endpoint_ready_duration_seconds_count", &[("source", "config")]),
        51
    );
}

#[tokio::test]
async fn phases_add_up_and_connections_are_used_again() {
    let site = Site::start("one");
    let here = Configured::start(&service("app.local", &[&site])).await;
    here.lb.ready("app.local", 1).await;
    let mut client = here.lb.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("app.local", "/?latency=20ms&size=1000").await.unwrap().status, 200);
    }
    let counted = |now: &Metrics| now.count("lb_requests_total", &[("service", "app.local")]) == 10;
    let now = until(&here.lb, "all to be counted", counted).await;
    let phase = |name: &str| {
        let (count, sum) = (format!("lb_{name}_seconds_count"), format!("lb_{name}_seconds_sum"));
        let of = [("service", "app.local")];
        (now.count(&count, &of), now.sum(&sum, &of))
    };
    let (requests, total) = phase("request_duration");
    let (handed_over, upstream) = phase("upstream_request_duration");
    let (answered, first_byte) = phase("upstream_first_byte_duration");
    assert_eq!((requests, handed_over, answered), (10, 10, 10));
    assert!(total >= upstream && upstream >= first_byte && first_byte >= 0.2);
    assert_eq!(now.count("lb_response_bytes_total", &[("service", "app.local")]), 10_000);
    let opened = now.count("lb_upstream_connects_total", &[("outcome", "ok")]);
    let reused = now.count("lb_upstream_reused_connections_total", &[]);
    assert_eq!((opened, reused), (1, 9));
    assert_eq!(now.count("lb_client_connections_accepted_total", &[]), 1);
    assert!(now.sum("process_cpu_seconds_total", &[]) < now.sum("process_start_time_seconds", &[]));
    assert!(now.count("lb_workers", &[]) >= 1);
}

#[tokio::test]
async fn a_drain_lasts_as_long_as_its_last_request() {
    let (leaves, stays) = (Site::start("leaves"), Site::start("stays"));
    let here = Configured::start(&service("app.local", &[&leaves, &stays])).await;
    here.lb.ready("app.local", 2).await;
    let drains = |now: &Metrics| {
        let [finished, cut_off] = ["finished", "cut_off"]
            .map(|outcome| now.count("lb_drains_total", &[("outcome", outcome)]));
        (finished, cut_off)
    };
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = here.lb.client().await;
        client.send("app.local", "/?hang").await.unwrap();
        waiting.push(client);
    }
    tokio::join!(leaves.busy(), stays.busy());
    here.reload(&service("app.local", &[&stays])).await.unwrap();
    here.lb.ready("app.local", 1).await;
    assert_eq!(drains(&metrics(&here.lb).await), (0, 0), "it goes on");
    drop(waiting);
    let now = until(&here.lb, "its end", |now| drains(now) != (0, 0)).await;
    assert_eq!(drains(&now), (1, 0));
}

#[tokio::test]
async fn nothing_has_to_be_recorded() {
    let site = Site::start("one");
    let mut command = command();
    command.env("LB_ADMIN", "off").arg("--upstream").arg(format!("app.test={}", site.address));
    let process = Process::spawn(command);
    let address = process.serves().await;
    let answer = Client::connect(address).await.get("app.test", "/").await.unwrap();
    assert_eq!(answer.status, 200);
}
