//! A balancer before one server.

use std::{fs, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, process::Command, time};

use crate::lb::{LIMIT, Lb};

/// The host that the server answers for.
pub(crate) const HOST: &str = "app.local";

/// A balancer before the server at this address, which speaks `http` or `h2c`.
pub(crate) async fn before(server: SocketAddr, protocol: &str) -> Lb {
    let lb = with(server, protocol, |_| ()).await;
    lb.ready(HOST, 1).await;
    lb
}

/// The same with other options; whether the server is ready is not waited for.
pub(crate) async fn with(
    server: SocketAddr,
    protocol: &str,
    change: impl FnOnce(&mut Command),
) -> Lb {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.toml");
    let text = format!(
        "[[service]]\nhost = {HOST:?}\nendpoints = [\"{server}\"]\nprotocol = {protocol:?}\n"
    );
    fs::write(&path, text).unwrap();
    // It has been read when it listens.
    Lb::start(|lb| {
        lb.arg("--config").arg(&path);
        change(lb);
    })
    .await
}

pub(crate) async fn connect(lb: &Lb) -> TcpStream {
    let stream = TcpStream::connect(lb.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits until the metrics have a line that begins like this.
pub(crate) async fn counted(lb: &Lb, line: &str) {
    let counted = time::timeout(LIMIT, async {
        while !lb.ask("/metrics").await.1.lines().any(|told| told.starts_with(line)) {
            time::sleep(Duration::from_millis(5)).await;
        }
    });
    if counted.await.is_err() {
        panic!("never {line}: {}", lb.ask("/metrics").await.1);
    }
}

/// What comes in time.
pub(crate) async fn soon<F: Future>(coming: F) -> F::Output {
    time::timeout(LIMIT, coming).await.expect("nothing comes")
}
