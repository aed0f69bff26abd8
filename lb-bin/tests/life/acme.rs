//! Certificates from a real ACME server, for hosts that are served.

#[path = "../../../lb-core/tests/acme/pebble.rs"]
#[allow(dead_code, reason = "it can do more")]
mod pebble;

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, time::Duration};

use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::watch,
    time,
};

use crate::{
    lb::{LIMIT, Lb},
    prometheus::Metrics,
    reference::Reference,
    site::Site,
};
use pebble::Pebble;

/// A port that leads to an address which is known later.
async fn door() -> (u16, watch::Sender<Option<SocketAddr>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, address) = watch::channel(None);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut address = address.clone();
            tokio::spawn(async move {
                let address = address.wait_for(Option::is_some).await.ok()?.unwrap();
                let mut server = TcpStream::connect(address).await.ok()?;
                io::copy_bidirectional(&mut client, &mut server).await.ok()
            });
        }
    });
    (port, told)
}

#[tokio::test]
async fn certificates_are_ordered_for_hosts_that_ask() {
    if !pebble::is_installed() {
        return;
    }
    let ((http, tell_http), (tls, tell_tls)) = (door().await, door().await);
    let acme = Pebble::start(pebble::Setup::default(), http, tls).await;
    let (folder, site) = (tempfile::tempdir().unwrap(), Site::start("one"));
    let file = folder.path().join("lb.toml");
    let service = |host: &str, more: &str| {
        format!("[[service]]\nhost = {host:?}\nendpoints = [\"{}\"]\n{more}", site.address)
    };
    let services = service("a.example.test", "acme = true\n") + &service("b.example.test", "");
    std::fs::write(&file, services).unwrap();
    let lb = Lb::start(|command| {
        command.arg("--config").arg(file).args(["--listen-tls=127.0.0.1:0", "--acme"]);
        command.arg(&acme.directory).arg("--acme-ca").arg(&acme.authority);
        command.arg("--certificates").arg(folder.path());
    })
    .await;
    tell_http.send_replace(Some(lb.address()));
    tell_tls.send_replace(Some(lb.secure[0]));

    let mut report = String::new();
    let served = async {
        while !report.contains("\"name\": \"a.example.test\"") {
            time::sleep(Duration::from_millis(50)).await;
            report = lb.ask("/certificates").await.1;
        }
    };
    let served = time::timeout(LIMIT, served).await;
    assert!(served.is_ok(), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["acme"]["hosts"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["acme"]["orders"], "here");
    assert_eq!(lb.client().await.get("a.example.test", "/").await.unwrap().status, 301);
    assert_eq!(lb.client().await.get("b.example.test", "/").await.unwrap().status, 200);
    let key = std::fs::metadata(folder.path().join("a.example.test.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let unknown = "/.well-known/acme-challenge/unknown";
    let answer = lb.client().await.get("a.example.test", unknown).await.unwrap();
    assert_eq!(answer.status, 200, "the container may have challenges of its own");

    // What happened once is shown for good.
    for _ in 0..3 {
        let shown = Metrics::parse(&lb.ask("/metrics").await.1).unwrap();
        Reference::read().has(&shown).unwrap();
        assert_eq!(shown.count("lb_acme_orders_total", &[("outcome", "issued")]), 1);
        assert_eq!(shown.count("lb_acme_hosts", &[("state", "valid")]), 1);
        assert_eq!(shown.count("lb_acme_hosts", &[]), 1);
        // The exporter forgets what it hasn't heard of for a millisecond.
        time::sleep(Duration::from_millis(2)).await;
    }
}
