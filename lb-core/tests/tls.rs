//! TLS with real handshakes: which certificate, which version, which protocol.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "tls/challenges.rs"]
mod challenges;
#[path = "tls/clients.rs"]
mod clients;
#[cfg(all(feature = "http", feature = "server", feature = "test-util"))]
#[path = "tls/https.rs"]
mod https;
#[path = "tls/reload.rs"]
mod reload;
#[path = "tls/scene.rs"]
mod scene;
#[path = "tls/upstream.rs"]
mod upstream;

use std::sync::Arc;

use lb_core::tls::{AcceptorOptions, HandshakeError, Policy};
use scene::Scene;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::rustls::{AlertDescription, Error, ProtocolVersion};

const UNRECOGNIZED_NAME: Error = Error::AlertReceived(AlertDescription::UnrecognisedName);

#[tokio::test]
async fn each_host_is_shown_its_certificate() {
    let scene = Scene::new(&[]).await;
    scene.put("www.example.com");
    let domain = scene.put("example.com");
    let wildcard = scene.put("_.example.org");
    let apex = scene.put("example.org");
    let shared = scene.authority.sign(&["asks.test", "www.example.com"]);
    scene.write("shared.crt", &shared.pem);
    scene.write("shared.key", &shared.key);
    let default = scene.authority.sign(&["a.b.example.com", "other.test", "test"]);
    scene.write("default.crt", &default.pem);
    scene.write("default.key", &default.key);
    for host in ["asks.test", "www.example.com"] {
        scene.host(host, |options| options.certificate = Some("Shared".into()));
    }
    scene.host("lost.example.com", |options| options.certificate = Some("nothing".into()));
    let report = scene.wait_for(|report| report.certificates.len() == 6).await;
    assert_eq!(report.problems, []);

    for (host, expected, why) in [
        ("www.example.com", &shared, "what it asks for, though it has its own"),
        ("WWW.Example.COM.", &shared, "in small letters, with its root"),
        ("example.com", &domain, "its own"),
        ("foo.example.com", &domain, "that of its domain"),
        ("a.b.example.com", &default, "not two levels up"),
        ("foo.example.org", &wildcard, "a wildcard's before the domain's"),
        ("example.org", &apex, "a wildcard isn't for the domain"),
        ("asks.test", &shared, "what it asks for"),
        ("other.test", &default, "the default"),
    ] {
        assert_eq!(scene.shown(host).await.as_ref(), Ok(&expected.der), "{host}: {why}");
    }
    let mut silent = scene.client();
    silent.enable_sni = false;
    let (seen, session) = scene.meet(&Arc::new(silent), "test").await;
    assert_eq!(seen.unwrap().certificate, default.der, "the default for who names no host");
    assert_eq!(session.unwrap().server_name(), None);
    assert_eq!(scene.shown("lost.example.com").await, Err(UNRECOGNIZED_NAME), "a wrong name");

    let report = scene.store.report();
    let hosts: Vec<_> =
        report.certificates.iter().map(|of| (of.name.as_str(), of.hosts.join(" "))).collect();
    assert_eq!(
        hosts,
        [
            ("*.example.org", "*.example.org".to_owned()),
            ("default", "*".into()),
            ("example.com", "example.com *.example.com".into()),
            ("example.org", "example.org".into()),
            ("shared", "shared".into()),
            ("www.example.com", "www.example.com *.www.example.com".into()),
        ]
    );
    assert_eq!(report.certificates[2].names, ["example.com", "*.example.com"]);
    assert_eq!(report.certificates[2].file, scene.path("example.com.crt"));
    assert_eq!(scene.store.certificates(), report.certificates);
}

#[tokio::test]
async fn a_domain_of_one_label_lends_nothing() {
    let scene = Scene::new(&["test", "_.test"]).await;
    assert_eq!(scene.shown("example.test").await, Err(UNRECOGNIZED_NAME));
}

#[tokio::test]
async fn without_a_certificate_the_name_is_not_recognized() {
    let scene = Scene::with(
        &["default", "example.com"],
        |options| options.trust_default = false,
        AcceptorOptions::default(),
    )
    .await;
    for client in [scene.client(), scene.old_client()] {
        let (seen, session) = scene.meet(&Arc::new(client), "other.test").await;
        assert_eq!(seen.unwrap_err(), UNRECOGNIZED_NAME);
        let error = session.unwrap_err();
        assert!(matches!(&error, HandshakeError::NoCertificate { server_name: Some(_) }));
        let expected = "no certificate for \"other.test\"; add one, or a default that is trusted";
        assert_eq!(error.to_string(), expected);
    }
    let mut silent = scene.client();
    silent.enable_sni = false;
    let (seen, session) = scene.meet(&Arc::new(silent), "other.test").await;
    assert_eq!(seen.unwrap_err(), UNRECOGNIZED_NAME);
    assert!(session.unwrap_err().to_string().contains("clients that name no host"));
    assert_eq!(scene.shown("default").await, Err(UNRECOGNIZED_NAME), "it is no host");
    assert!(scene.store.certificates()[0].hosts.is_empty());
}

#[tokio::test]
async fn the_protocol_is_agreed_on() {
    let scene = Scene::new(&["example.com"]).await;
    let with = |protocols: &[&str]| {
        let mut client = scene.client();
        client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().into()).collect();
        Arc::new(client)
    };
    for (offered, expected) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let (seen, session) = scene.meet(&with(offered), "example.com").await;
        let expected = expected.map(str::as_bytes);
        assert_eq!(seen.unwrap().alpn.as_deref(), expected, "{offered:?}");
        assert_eq!(session.unwrap().alpn(), expected, "{offered:?}");
    }
    let (seen, _) = scene.meet(&with(&["spdy/3"]), "example.com").await;
    let refused = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(seen.unwrap_err(), refused);
}

#[tokio::test]
async fn the_protocols_can_be_chosen() {
    let mut options = AcceptorOptions::default();
    options.alpn = vec![b"http/1.1".into()];
    let scene = Scene::with(&["example.com"], |_| {}, options).await;
    let mut client = scene.client();
    client.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let (seen, _) = scene.meet(&Arc::new(client), "example.com").await;
    assert_eq!(seen.unwrap().alpn.unwrap(), b"http/1.1");
}

#[tokio::test]
async fn versions_are_the_hosts_choice() {
    let scene = Scene::new(&["example.com"]).await;
    scene.host("new.example.com", |options| options.policy = Some(Policy::Modern));
    let (new, old) = (Arc::new(scene.client()), Arc::new(scene.old_client()));
    for host in ["example.com", "new.example.com"] {
        let (seen, session) = scene.meet(&new, host).await;
        assert_eq!(seen.unwrap().version, ProtocolVersion::TLSv1_3);
        assert_eq!(session.unwrap().version(), Some("TLSv1.3"));
    }
    let (seen, session) = scene.meet(&old, "example.com").await;
    assert_eq!(seen.unwrap().version, ProtocolVersion::TLSv1_2);
    assert_eq!(session.unwrap().version(), Some("TLSv1.2"));
    let (seen, session) = scene.meet(&old, "new.example.com").await;
    let refused = Error::AlertReceived(AlertDescription::ProtocolVersion);
    assert_eq!(seen.unwrap_err(), refused);
    assert!(matches!(session, Err(HandshakeError::Failed(_))));
}

/// A hello (RFC 4346, section 7.4.1.2) as OpenSSL 1.0.0 would send it: no more than
/// this version, one suite, the host it wants, and how it can verify.
fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let prefixed = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[..], bytes].concat()
    };
    let name = prefixed(&[&[0][..], &prefixed(b"example.com")].concat());
    let name = [&[0, 0][..], &prefixed(&name)].concat();
    let signatures = [&[0, 13][..], &prefixed(&prefixed(&[2, 1, 4, 1, 4, 3]))].concat();
    let extensions = prefixed(&[name, signatures].concat());
    let suites = prefixed(&[0xc0, 0x09, 0xc0, 0x13, 0x00, 0x2f]);
    let body = [&version[..], &[7; 32], &[0], &suites, &[1, 0], &extensions].concat();
    let message = [&[1, 0][..], &prefixed(&body)].concat();
    [&[22, 3, 1][..], &prefixed(&message)].concat()
}

#[tokio::test]
async fn older_versions_are_refused() {
    let scene = Scene::new(&["example.com"]).await;
    const TLS10: [u8; 2] = [3, 1];
    const TLS11: [u8; 2] = [3, 2];
    for version in [TLS10, TLS11] {
        let (mut near, far) = duplex(4096);
        near.write_all(&old_hello(version)).await.unwrap();
        let error = scene.accept(far).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Failed(_)), "{error}");
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        // An alert: fatal, protocol_version.
        assert_eq!((heard[0], &heard[3..]), (21, &[0, 2, 2, 70][..]));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let scene = Scene::new(&["example.com"]).await;
    let (mut near, far) = duplex(4096);
    near.write_all(b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n").await.unwrap();
    assert!(matches!(scene.accept(far).await, Err(HandshakeError::Failed(_))));
    drop(near);
}

#[tokio::test]
async fn who_says_nothing_is_left() {
    let scene = Scene::new(&["example.com"]).await;
    let (near, far) = duplex(4096);
    tokio::time::pause();
    assert!(matches!(scene.accept(far).await, Err(HandshakeError::TimedOut)));
    drop(near);
}
