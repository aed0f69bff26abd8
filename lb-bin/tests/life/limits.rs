//! What happens at limits, and that it can be seen.

use std::{fs, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream, time};

use crate::{
    client::Client,
    lb::{LIMIT, Lb, control, tell},
    site::Site,
};

pub(crate) async fn metric(lb: &Lb, series: &str) -> f64 {
    let (status, metrics) = lb.ask("/metrics").await;
    assert_eq!(status, 200);
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
}

async fn closed(lb: &Lb, reason: &str) -> f64 {
    metric(lb, &format!("lb_client_connections_closed_total{{reason=\"{reason}\"}}")).await
}

async fn refused(lb: &Lb, reason: &str) -> f64 {
    metric(lb, &format!("lb_local_replies_total{{reason=\"{reason}\"}}")).await
}

/// Waits until as many connections were closed for this.
async fn closes(lb: &Lb, reason: &str, count: f64) {
    let counted = time::timeout(LIMIT, async {
        while closed(lb, reason).await < count {
            time::sleep(Duration::from_millis(5)).await;
        }
    });
    counted.await.unwrap_or_else(|_| panic!("{reason} isn't counted"));
    assert_eq!(closed(lb, reason).await, count, "{reason}");
}

#[tokio::test]
async fn a_process_short_of_memory_says_so_until_there_is_more() {
    let site = Site::start("a");
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("lb.toml"), folder.path().join("access.log"));
    let limited = |limit: &str| {
        let service =
            format!("[[service]]\nhost = \"app.local\"\nendpoints = [\"{}\"]\n", site.address);
        fs::write(&path, format!("memory_limit = {limit:?}\n{service}")).unwrap();
    };
    limited("off");
    let control = control();
    let lb = Lb::start(|lb| {
        lb.arg("--config").arg(&path).env("LB_CONTROL", &control);
        lb.env("LB_ACCESS_LOG", &log).env_remove("LB_MEMORY_LIMIT");
    });
    let lb = lb.await;
    lb.ready("app.local", 1).await;
    assert_eq!(metric(&lb, "lb_memory_limit_bytes").await, 0.0);
    let mut client = lb.client().await;
    assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);

    limited("1m");
    tell(&control, &["reload"]).await.unwrap();
    lb.says("requests and connections are refused").await;
    let answer = client.get("app.local", "/").await.unwrap();
    assert_eq!((answer.status, answer.closes), (503, true), "{}", answer.body);
    assert!(answer.body.contains("overloaded"), "{}", answer.body);
    client.closed().await;
    lb.client().await.closed().await;
    // Who looks after it is still told.
    assert_eq!(refused(&lb, "overload").await, 1.0);
    closes(&lb, "overload", 1.0).await;
    assert_eq!(metric(&lb, "lb_memory_limit_bytes").await, f64::from(1 << 20));
    assert!(metric(&lb, "lb_memory_bytes").await > f64::from(1 << 20));
    assert_eq!(lb.ask("/healthz").await.0, 200);
    let (status, ready) = lb.ask("/readyz").await;
    assert!(status == 503 && ready.contains("overload"), "{ready}");

    limited("64g");
    tell(&control, &["reload"]).await.unwrap();
    assert_eq!(lb.client().await.get("app.local", "/").await.unwrap().status, 200);
    assert_eq!(lb.ask("/readyz").await.0, 200);
    lb.signal("USR1").await;
    lb.says("opened anew").await;
    let log = fs::read_to_string(log).unwrap();
    assert!(log.lines().any(|line| line.contains(" 503 ") && line.ends_with(" overload")), "{log}");
}

#[tokio::test]
async fn connections_that_are_closed_are_counted_by_why() {
    let site = Site::start("a");
    let lb = Lb::start(|lb| {
        lb.arg("--upstream").arg(format!("app.local={}", site.address));
        lb.args([
            "--head-timeout=1s",
            "--head-size=8k",
            "--connections-per-client=1",
            "--workers=1",
        ]);
    });
    let lb = lb.await;
    lb.ready("app.local", 1).await;
    let connect = || async { TcpStream::connect(lb.address()).await.unwrap() };
    // One after the other, as there may be one at a time.
    let gone = || async {
        while metric(&lb, "lb_client_connections").await > 0.0 {
            time::sleep(Duration::from_millis(5)).await;
        }
    };

    let silent = connect().await;
    // It is open once another one is too many.
    let mut second = lb.client().await;
    while second.get("app.local", "/").await.unwrap().status != 503 {
        second = lb.client().await;
    }
    while closed(&lb, "connections_per_client").await == 0.0 {
        time::sleep(Duration::from_millis(5)).await;
    }
    closes(&lb, "silent", 1.0).await;
    drop(silent);
    gone().await;

    for (sent, reason) in [
        ("GET / HTTP/1.1\r\nhost: app.local\r\n", "head_timeout"),
        ("not HTTP at all\r\n\r\n", "bad_head"),
        (&format!("GET / HTTP/1.1\r\nlong: {}", "x".repeat(9 << 10)), "head_size"),
        // DATA of no stream.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0x", "http2"),
    ] {
        let mut stream = connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        closes(&lb, reason, 1.0).await;
        drop(stream);
        gone().await;
    }

    // Who leaves by itself is no matter.
    assert_eq!(lb.client().await.get("app.local", "/").await.unwrap().status, 200);
    gone().await;
    let mut all = 0.0;
    for reason in
        ["connections", "overload", "proxy_header", "send_timeout", "no_pong", "http2_flood"]
    {
        all += closed(&lb, reason).await;
    }
    assert_eq!(all, 0.0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_counted() {
    let site = Site::start("a");
    let lb = Lb::start(|lb| {
        lb.arg("--upstream").arg(format!("app.local={}", site.address));
        lb.arg("--send-timeout=1s");
    });
    let lb = lb.await;
    lb.ready("app.local", 1).await;
    let mut client: Client = lb.client().await;
    // More than the buffers on the way hold.
    client.send("app.local", "/?size=67108864").await.unwrap();
    closes(&lb, "send_timeout", 1.0).await;
}

#[tokio::test]
async fn a_flood_over_http2_is_counted() {
    let site = Site::start("a");
    let lb = Lb::start(|lb| {
        lb.arg("--upstream").arg(format!("app.local={}", site.address));
    });
    let lb = lb.await;
    lb.ready("app.local", 1).await;
    let mut stream = TcpStream::connect(lb.address()).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in (1_u32..4001).step_by(2) {
        // GET / of http://a, and a reset of it: what is known as rapid reset.
        sent.extend(b"\0\0\x06\x01\x05");
        sent.extend(number.to_be_bytes());
        sent.extend(b"\x82\x84\x86\x41\x01a");
        sent.extend(b"\0\0\x04\x03\0");
        sent.extend(number.to_be_bytes());
        sent.extend(8_u32.to_be_bytes());
    }
    // It may be closed before all of it is sent.
    let _ = stream.write_all(&sent).await;
    closes(&lb, "http2_flood", 1.0).await;
}
