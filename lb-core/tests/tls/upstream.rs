//! TLS to upstreams.

use std::io::ErrorKind;

use lb_core::tls::{Connector, ConnectorOptions, Verify};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::client::TlsStream;

use crate::scene::Scene;

async fn connect(
    scene: &Scene,
    name: &str,
    set: impl FnOnce(&mut ConnectorOptions),
) -> (std::io::Result<TlsStream<DuplexStream>>, Option<String>) {
    let mut options = ConnectorOptions::default();
    set(&mut options);
    let connector = Connector::new(options).unwrap();
    let (near, far) = duplex(1 << 16);
    let (client, server) = tokio::join!(connector.connect(name, near), scene.accept(far));
    let named = server.ok().and_then(|accepted| Some(accepted.session.server_name()?.to_owned()));
    (client, named)
}

async fn scene() -> (Scene, Verify) {
    let scene = Scene::new(&["default", "example.com"]).await;
    let file = scene.path("authorities.pem");
    std::fs::write(&file, scene.authority.pem()).unwrap();
    (scene, Verify::File(file))
}

#[tokio::test]
async fn an_upstream_is_verified_by_a_file_and_for_its_name() {
    let (scene, file) = scene().await;
    let verify = |options: &mut ConnectorOptions| options.verify = file.clone();
    let (stream, named) = connect(&scene, "example.com", verify).await;
    let stream = stream.unwrap();
    assert_eq!(named.as_deref(), Some("example.com"));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // It is shown the default, which isn't for this name.
    for name in ["other.test", "10.0.0.1"] {
        let (stream, _) = connect(&scene, name, verify).await;
        let error = stream.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}

#[tokio::test]
async fn an_upstream_is_verified_by_the_authorities_of_browsers() {
    let (scene, _) = scene().await;
    let (stream, _) = connect(&scene, "example.com", |_| {}).await;
    let error = stream.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn nothing_is_verified_by_who_asks_for_that() {
    let (scene, _) = scene().await;
    let (stream, named) =
        connect(&scene, "other.test", |options| options.verify = Verify::Nothing).await;
    stream.unwrap();
    assert_eq!(named.as_deref(), Some("other.test"));
}

#[tokio::test]
async fn the_name_and_the_protocols_can_be_chosen() {
    let (scene, file) = scene().await;
    let (stream, named) = connect(&scene, "default", |options| {
        options.verify = file;
        options.sni = false;
        options.alpn = vec![b"h2".into()];
    })
    .await;
    assert_eq!(stream.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(named, None);
}

#[tokio::test]
async fn what_is_no_name_is_refused() {
    let (near, _far) = duplex(64);
    let connector = Connector::new(ConnectorOptions::default()).unwrap();
    let error = connector.connect("no name", near).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "\"no name\" is no name for TLS; give a host or an IP address");
}

#[test]
fn a_file_that_is_of_no_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (content, expected) in [
        (None, "No such file"),
        (Some(""), "there is no certificate in it"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), "is broken PEM"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "the certificate at position 1 can't be read",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let mut options = ConnectorOptions::default();
        options.verify = Verify::File(file.clone());
        let error = Connector::new(options).unwrap_err().to_string();
        assert!(error.contains("ca.pem: ") && error.contains(expected), "{error}");
        assert!(error.contains("as PEM"), "{error}");
    }
}
