//! Handshakes of ACME servers, which want to see a challenge's certificate.

use std::sync::Arc;

use lb_core::tls::{AcceptorOptions, Challenges, HandshakeError};
use tokio::io::{AsyncReadExt, duplex};
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error, sign::CertifiedKey};

use crate::{
    UNRECOGNIZED_NAME,
    scene::{Scene, Signed, connect, provider},
};

const NO_PROTOCOL: Error = Error::AlertReceived(AlertDescription::NoApplicationProtocol);

async fn scene() -> (Scene, Challenges) {
    let mut options = AcceptorOptions::default();
    options.challenges = Challenges::default();
    let challenges = options.challenges.clone();
    (Scene::with(&["known.test"], |_| {}, options).await, challenges)
}

fn asking(mut client: ClientConfig, protocols: &[&str]) -> Arc<ClientConfig> {
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().into()).collect();
    Arc::new(client)
}

fn certified(signed: &Signed) -> Arc<CertifiedKey> {
    let key = provider().key_provider.load_private_key(signed.key_der.clone_key()).unwrap();
    Arc::new(CertifiedKey::new(vec![signed.der.clone()], key))
}

#[tokio::test]
async fn who_asks_for_a_challenge_is_shown_its_certificate_and_no_more() {
    let (scene, challenges) = scene().await;
    let signed = scene.authority.sign(&["new.test"]);
    let published = challenges.publish_tls_alpn01("New.test", certified(&signed));
    for client in [scene.client(), scene.old_client()] {
        let client = asking(client, &["acme-tls/1"]);
        let (near, far) = duplex(1 << 16);
        let (seen, accepted) = tokio::join!(connect(&client, "new.test", near), scene.accept(far));
        let error = accepted.unwrap_err();
        assert!(
            matches!(&error, HandshakeError::Challenge { server_name } if server_name == "new.test"),
            "{error}"
        );
        let mut stream = seen.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], signed.der);
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "it is closed in order");
    }
    drop(published);
    let client = asking(scene.client(), &["acme-tls/1"]);
    let (seen, _) = scene.meet(&client, "new.test").await;
    assert_eq!(seen.unwrap_err(), UNRECOGNIZED_NAME, "it is taken back");
}

#[tokio::test]
async fn others_are_served_or_refused_as_ever() {
    let (scene, challenges) = scene().await;
    let signed = scene.authority.sign(&["known.test"]);
    let _published = challenges.publish_tls_alpn01("known.test", certified(&signed));
    let ours = scene.shown("known.test").await.unwrap();
    assert_ne!(ours, signed.der, "clients see the host's own");

    // What an ACME server never offers (RFC 8737, section 3).
    let both = asking(scene.client(), &["acme-tls/1", "h2"]);
    let (seen, session) = scene.meet(&both, "known.test").await;
    assert_eq!((seen.unwrap().certificate, session.unwrap().alpn()), (ours, Some(&b"h2"[..])));

    let client = asking(scene.client(), &["acme-tls/1"]);
    let (seen, _) = scene.meet(&client, "other.known.test").await;
    assert_eq!(seen.unwrap_err(), NO_PROTOCOL, "there is no challenge for this host");
}
