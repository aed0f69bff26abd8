//! Reading the configuration again.

use std::{collections::HashSet, fs, path::PathBuf};

use crate::{
    lb::{Lb, control, tell},
    load::Load,
    site::Site,
};

/// A configuration file, and a balancer that reads it.
pub(crate) struct Configured {
    pub(crate) lb: Lb,
    control: String,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Configured {
    pub(crate) async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lb.toml");
        fs::write(&path, text).unwrap();
        let control = control();
        let lb = Lb::start(|lb| {
            lb.arg("--config").arg(&path).env("LB_CONTROL", &control);
            if text.contains("certificates = ") {
                // It would outrank that.
                lb.env_remove("LB_CERTIFICATES");
            }
        });
        Self { lb: lb.await, control, path, _folder: folder }
    }

    pub(crate) async fn reload(&self, text: &str) -> Result<String, String> {
        fs::write(&self.path, text).unwrap();
        tell(&self.control, &["reload"]).await
    }
}

pub(crate) fn service(host: &str, sites: &[&Site]) -> String {
    let endpoints: Vec<_> = sites.iter().map(|site| site.address.to_string()).collect();
    format!("[[service]]\nhost = {host:?}\nendpoints = {endpoints:?}\n")
}

async fn seen(lb: &Lb, host: &str) -> HashSet<String> {
    let mut client = lb.client().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        seen.insert(client.get(host, "/").await.unwrap().body);
    }
    seen
}

#[tokio::test]
async fn https_ends_with_the_process_and_not_before() {
    let site = Site::start("one");
    let certificates = tempfile::tempdir().unwrap();
    let service = service("app.local", &[&site]);
    let https = format!(
        "certificates = {:?}\nlisten_tls = \"127.0.0.1:0\"\nhttp_without_certificate = false\n",
        certificates.path()
    );
    let here = Configured::start(&(https + &service)).await;
    here.lb.ready("app.local", 1).await;
    let status = async || here.lb.client().await.get("app.local", "/").await.unwrap().status;
    assert_eq!(status().await, 301);
    let said = here.reload(&("certificates = \"off\"\n".to_owned() + &service)).await.unwrap();
    assert!(said.contains("where and how TLS is spoken can't change"), "{said}");
    assert_eq!(status().await, 301, "it is spoken there as before");
}

#[tokio::test]
async fn services_are_replaced_and_nothing_is_dropped() {
    let (stays, goes, comes) = (Site::start("stays"), Site::start("goes"), Site::start("comes"));
    // A host that is gone is waited for as long as this.
    let wait = "wait = \"100ms\"\n";
    let here =
        Configured::start(&(wait.to_owned() + &service("app.local", &[&stays, &goes]))).await;
    here.lb.ready("app.local", 2).await;
    let mut tunnel = here.lb.client().await;
    tunnel.upgrade("app.local").await;
    // So many that each server has some of both.
    let mut slow = Vec::new();
    for number in 0..16 {
        let mut client = here.lb.client().await;
        match number % 2 {
            0 => client.send("app.local", "/?latency=3s").await.unwrap(),
            _ => client.post("app.local", "/?latency=3s", "a body").await.unwrap(),
        }
        slow.push(client);
    }
    let begun = async {
        while stays.in_flight() + goes.in_flight() < 16 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::lb::LIMIT, begun).await.expect("all begun");
    let load = Load::start(here.lb.address(), "app.local");
    load.more(100).await;

    let now = wait.to_owned()
        + &service("app.local", &[&stays, &comes])
        + &service("new.local", &[&comes]);
    assert_eq!(here.reload(&now).await, Ok("the configuration is reloaded".into()));
    here.lb.ready("app.local", 2).await;
    for mut client in slow {
        assert_eq!(client.receive().await.unwrap().status, 200, "begun before");
    }
    // What had been picked before the reload has arrived by now.
    let before = goes.requests();
    load.more(200).await;
    assert_eq!(goes.requests(), before, "no more requests for the one that is gone");
    assert_eq!(seen(&here.lb, "app.local").await.len(), 2);
    assert_eq!(here.lb.client().await.get("new.local", "/").await.unwrap().status, 200);

    // By signal as well.
    fs::write(&here.path, wait.to_owned() + &service("app.local", &[&stays])).unwrap();
    here.lb.signal("HUP").await;
    here.lb.ready("app.local", 1).await;
    load.more(100).await;
    load.none_failed().await;
    tunnel.echo("whoever it was opened to").await;
    assert_eq!(here.lb.client().await.get("new.local", "/").await.unwrap().status, 503);
    let (_, metrics) = here.lb.ask("/metrics").await;
    assert!(metrics.contains(r#"lb_config_reloads_total{outcome="ok"} 2"#), "{metrics}");
}

/// The connections of a server that stays are those from before.
#[tokio::test]
async fn a_server_that_stays_keeps_its_connections() {
    let (stays, comes) = (Site::start("stays"), Site::start("comes"));
    let here = Configured::start(&service("app.local", &[&stays])).await;
    here.lb.ready("app.local", 1).await;
    let mut client = here.lb.client().await;
    assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);
    here.reload(&service("app.local", &[&stays, &comes])).await.unwrap();
    here.lb.ready("app.local", 2).await;
    for _ in 0..10 {
        assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);
    }
    let (_, metrics) = here.lb.ask("/metrics").await;
    let connects =
        format!(r#"lb_upstream_connects_total{{endpoint="{}",outcome="ok"}} 1"#, stays.address);
    assert!(metrics.contains(&connects), "{connects} in {metrics}");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_everything_stays() {
    let site = Site::start("a");
    let good = service("app.local", &[&site]);
    let here = Configured::start(&good).await;
    here.lb.ready("app.local", 1).await;
    for (bad, why) in [
        ("wait = \"soon\"", r#"is "soon": write a time with its unit"#),
        ("wiat = \"10s\"", "unknown field `wiat`"),
        (
            "[[service]]\nhost = \"b.local\"\nendpoints = [\"nowhere.invalid:80\"]",
            "this name can't be looked up",
        ),
    ] {
        let error = here.reload(bad).await.unwrap_err();
        assert!(error.starts_with("1: ") && error.contains(why), "{error}");
        assert!(error.ends_with("nothing is changed"), "{error}");
    }
    here.lb.says("the one before stays").await;
    assert_eq!(here.lb.client().await.get("app.local", "/").await.unwrap().status, 200);
    let (_, metrics) = here.lb.ask("/metrics").await;
    assert!(metrics.contains(r#"lb_config_reloads_total{outcome="invalid"} 3"#), "{metrics}");
    assert!(metrics.contains(r#"lb_config_reloads_total{outcome="ok"} 0"#), "{metrics}");
    assert!(metrics.contains("lb_config_last_reload_success_timestamp_seconds "), "{metrics}");
}

#[tokio::test]
async fn options_apply_and_what_can_t_is_named() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let services = service("one.local", &[&one]) + &service("two.local", &[&two]);
    let here = Configured::start(&format!("default_host = \"one.local\"\n{services}")).await;
    here.lb.ready("two.local", 1).await;
    let stranger = seen(&here.lb, "stranger").await;
    assert_eq!(stranger, seen(&here.lb, "one.local").await);

    let changed = format!("default_host = \"two.local\"\nlog = \"debug\"\nworkers = 7\n{services}");
    let told = here.reload(&changed).await.unwrap();
    assert!(told.contains("; --workers can't change while it runs"), "{told}");
    assert!(told.contains("--take-over"), "{told}");
    assert_eq!(seen(&here.lb, "stranger").await, seen(&here.lb, "two.local").await);
    // What is not HTTP is told of at that level.
    assert_eq!(here.lb.client().await.get("two local\r\n\r\n", "/ ").await.unwrap().status, 400);
    here.lb.says("DEBUG").await;
}

/// A default host that comes with the reload is there when it becomes one.
#[tokio::test]
async fn a_new_default_host_fails_no_request_of_strangers() {
    let (old, new) = (Site::start("old"), Site::start("new"));
    let text =
        |host: &str, site: &Site| format!("default_host = {host:?}\n{}", service(host, &[site]));
    let here = Configured::start(&text("old.local", &old)).await;
    here.lb.ready("old.local", 1).await;
    let load = Load::start(here.lb.address(), "stranger");
    load.more(50).await;
    for _ in 0..5 {
        here.reload(&text("new.local", &new)).await.unwrap();
        load.more(20).await;
        here.reload(&text("old.local", &old)).await.unwrap();
        load.more(20).await;
    }
    load.none_failed().await;
}
