//! HTTPS: certificates that come and change while clients are served.

use std::{fs, io, path::Path, sync::Arc};

use rcgen::{CertifiedKey, KeyPair};
use tokio::{net::TcpStream, time};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

use crate::{
    client::Client,
    lb::{LIMIT, Lb},
    site::Site,
};

pub(crate) fn put(folder: &Path, name: &str) -> CertifiedKey<KeyPair> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let write = |kind: &str, content: String| {
        let path = folder.join(format!("{name}.{kind}"));
        let beside = path.with_extension("new");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, path).unwrap();
    };
    write("key", made.signing_key.serialize_pem());
    write("crt", made.cert.pem());
    made
}

/// A client that trusts this certificate alone.
pub(crate) async fn connect(
    lb: &Lb,
    trusted: &CertifiedKey<KeyPair>,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let stream = TcpStream::connect(lb.secure[0]).await?;
    let name = ServerName::try_from("app.test").unwrap();
    TlsConnector::from(config).connect(name, stream).await.map(Client::over)
}

#[tokio::test]
async fn certificates_come_and_change_while_clients_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start("one");
    let lb = Lb::start(|command| {
        command
            .args(["--listen-tls=127.0.0.1:0", "--upstream"])
            .arg(format!("app.test={}", site.address));
        command.arg("--certificates").arg(folder.path());
    })
    .await;
    lb.ready("app.test", 1).await;
    assert_eq!(lb.client().await.get("app.test", "/").await.unwrap().status, 200, "HTTP, as yet");

    let first = put(folder.path(), "app.test");
    let mut early = until(|| connect(&lb, &first)).await;
    assert_eq!(early.get("app.test", "/").await.unwrap().status, 200);
    assert_eq!(lb.client().await.get("app.test", "/").await.unwrap().status, 301);

    let second = put(folder.path(), "app.test");
    let mut late = until(|| connect(&lb, &second)).await;
    assert_eq!(late.get("app.test", "/").await.unwrap().status, 200);
    assert_eq!(early.get("app.test", "/").await.unwrap().status, 200, "it goes on as it began");
    assert!(connect(&lb, &first).await.is_err());

    fs::write(folder.path().join("app.test.crt"), "nonsense").unwrap();
    let broken = async {
        loop {
            let (status, report) = lb.ask("/certificates").await;
            assert_eq!(status, 200);
            if report.contains("what was there before is served") {
                return;
            }
            time::sleep(time::Duration::from_millis(20)).await;
        }
    };
    time::timeout(LIMIT, broken).await.unwrap();
    let mut later = connect(&lb, &second).await.unwrap();
    assert_eq!(later.get("app.test", "/").await.unwrap().status, 200);
    let (_, metrics) = lb.ask("/metrics").await;
    assert!(
        metrics.contains("lb_certificate_expiry_timestamp_seconds{certificate=\"app.test\"} 6"),
        "{metrics}"
    );
    assert!(metrics.contains("lb_certificate_problems 2"), "{metrics}");
}

/// What succeeds once a change has been noticed.
async fn until<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let tried = async {
        loop {
            if let Ok(done) = attempt().await {
                return done;
            }
            time::sleep(time::Duration::from_millis(20)).await;
        }
    };
    time::timeout(LIMIT, tried).await.unwrap()
}
