//! The stream of what happens.

use serde_json::Value;
use tokio::{net::TcpListener, time};

use crate::{
    client::Client,
    lb::{self, LIMIT, Lb},
    site::Site,
};

async fn follow(lb: &Lb) -> Client {
    let mut follower = Client::connect(lb.admin).await;
    follower.send("admin", "/live/events").await.unwrap();
    follower
}

/// The next event of this name that is as is asked for.
async fn until(follower: &mut Client, name: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
    let found = time::timeout(LIMIT, async {
        loop {
            let (event, data) = follower.event().await.expect("the stream goes on");
            if event == name && is_it(&data) {
                return data;
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {name} as it should be"))
}

#[tokio::test]
async fn it_begins_with_who_is_there_and_goes_on_with_what_happens() {
    let (one, other) = (Site::start("one"), Site::start("other"));
    let lb = Lb::start(|command| {
        command.env("LB_UPSTREAM", format!("app.local={},{}", one.address, other.address));
    })
    .await;
    lb.ready("app.local", 2).await;
    let mut follower = follow(&lb).await;
    let (event, state) = follower.event().await.unwrap();
    assert_eq!(event, "state");
    let service = &state["services"][0];
    assert_eq!(
        (&service["name"], &service["endpoints"][1]["state"]),
        (&"app.local".into(), &"ready".into())
    );
    assert!(service["waiting"].is_null() && service["endpoints"][0]["in_flight"].is_null());
    assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));

    // From the first traffic on it is watched.
    until(&mut follower, "traffic", |_| true).await;
    let mut client = lb.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("app.local", "/secret?secret=1").await.unwrap().status, 200);
    }
    client.get("app.local", "/?status=500").await.unwrap();
    client.get("nowhere.local", "/b").await.unwrap();

    let (mut requests, mut failed, mut unrouted) = (0, 0, 0);
    let (mut by_endpoint, mut sampled) = (vec![0; 2], Vec::new());
    let last = until(&mut follower, "traffic", |data| {
        let number = |figures: &Value, name: &str| figures[name].as_u64().unwrap();
        let service = &data["services"][0];
        requests += number(&service["total"], "requests");
        failed += number(&service["total"], "failed");
        unrouted += number(&data["unrouted"], "requests");
        for (at, endpoint) in service["endpoints"].as_array().unwrap().iter().enumerate() {
            by_endpoint[at] += number(&endpoint["total"], "requests");
        }
        sampled.extend(data["requests"].as_array().unwrap().iter().cloned());
        assert_eq!(data["skipped"], 0);
        requests + unrouted >= 12
    })
    .await;
    assert_eq!((requests, failed, unrouted), (11, 1, 1));
    assert_eq!(by_endpoint.iter().sum::<u64>(), 11, "{by_endpoint:?}");
    assert!(by_endpoint.iter().all(|&count| count >= 5), "{by_endpoint:?}");
    let figures = &last["services"][0]["total"];
    assert!(figures["rate"].as_f64().unwrap() > 0.0 && figures["p99"].as_f64().is_some());

    let of = |status: u16| sampled.iter().filter(|sample| sample["status"] == status).count();
    assert_eq!((sampled.len(), of(200), of(500), of(503)), (12, 10, 1, 1));
    let lost = sampled.iter().find(|sample| sample["status"] == 503).unwrap();
    assert_eq!(lost["reason"], "no_route");
    assert_eq!((&lost["client"], &lost["endpoint"]), (&"127.0.0.1".into(), &Value::Null));
    // There is no login: paths may be secrets, as those of links that reset passwords.
    let told = Value::from(sampled).to_string();
    assert!(!told.contains("secret"), "{told}");
}

#[tokio::test]
async fn a_change_is_told_to_everybody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lb = Lb::start(|command| {
        command.env("LB_UPSTREAM", format!("app.local={address}"));
    })
    .await;
    lb.ready("app.local", 1).await;
    let mut followers = [follow(&lb).await, follow(&lb).await];
    for follower in &mut followers {
        until(follower, "state", |data| data["services"][0]["endpoints"][0]["state"] == "ready")
            .await;
    }
    drop(listener);
    // Nobody notices before somebody is refused.
    let asked = tokio::spawn({
        let mut client = lb.client().await;
        async move { client.get("app.local", "/").await }
    });
    for follower in &mut followers {
        until(follower, "state", |data| {
            let endpoint = &data["services"][0]["endpoints"][0];
            endpoint["state"] == "connecting" && endpoint["reasons"].to_string().contains("refused")
        })
        .await;
    }
    asked.abort();
}

#[tokio::test]
async fn who_comes_back_is_told_as_before() {
    let site = Site::start("one");
    let lb = Lb::start(|command| {
        command.env("LB_UPSTREAM", format!("app.local={}", site.address));
    })
    .await;
    lb.ready("app.local", 1).await;
    for _ in 0..3 {
        let mut follower = follow(&lb).await;
        until(&mut follower, "traffic", |_| true).await;
        lb.client().await.get("app.local", "/").await.unwrap();
        until(&mut follower, "traffic", |data| data["total"]["requests"] == 1).await;
    }
}

#[tokio::test]
async fn what_the_stream_is_like_can_be_asked_and_who_is_one_too_many_is_told() {
    const MOST: usize = 64;
    let lb = Lb::start(|_| {}).await;
    let mut asking = Client::connect(lb.admin).await;
    asking.write("HEAD /live/events HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
    let head = asking.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");

    let mut followers = Vec::new();
    for _ in 0..MOST {
        let mut follower = follow(&lb).await;
        until(&mut follower, "state", |_| true).await;
        followers.push(follower);
    }
    let (status, why) = lb.ask("/live/events").await;
    assert_eq!(status, 503);
    assert!(why.contains("too many follow, or another process has taken over"), "{why}");
}

#[tokio::test]
async fn whoever_takes_over_is_followed_next() {
    let (site, control) = (Site::start("one"), lb::control());
    let settings = |command: &mut tokio::process::Command| {
        command
            .env("LB_UPSTREAM", format!("app.local={}", site.address))
            .env("LB_CONTROL", &control)
            .env("LB_STOP_DELAY", "0s");
    };
    let old = Lb::start(settings).await;
    let mut follower = follow(&old).await;
    until(&mut follower, "state", |_| true).await;
    let (listen, admin) = (old.address(), old.admin);
    let _new = Lb::start(|command| {
        settings(command);
        command
            .env("LB_LISTEN", listen.to_string())
            .env("LB_ADMIN", admin.to_string())
            .arg("--take-over");
    })
    .await;
    let ended = async { while follower.event().await.is_some() {} };
    time::timeout(LIMIT, ended).await.expect("the old one lets go");
    let mut follower = Client::connect(admin).await;
    follower.send("admin", "/live/events").await.unwrap();
    until(&mut follower, "state", |data| data["services"][0]["name"] == "app.local").await;
}

#[tokio::test]
async fn the_page_is_there_and_asks_for_nothing_from_elsewhere() {
    let lb = Lb::start(|_| {}).await;
    let (status, page) = lb.ask("/live/").await;
    assert_eq!(status, 200);
    assert!(page.to_ascii_lowercase().starts_with("<!doctype html>"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    assert_eq!(lb.ask("/live").await.0, 301);
    assert_eq!(lb.ask("/live/../admin.rs").await.0, 404);
}
