//! Certificates of clients, and sessions that are resumed with and without them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use lb_core::tls::{ClientCertificates, Effect, HandshakeError, HostOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{
    AlertDescription, ClientConfig, Error, NamedGroup,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};

use crate::scene::{Authority, Scene};

const REQUIRED: Error = Error::AlertReceived(AlertDescription::CertificateRequired);
const UNKNOWN_CA: Error = Error::AlertReceived(AlertDescription::UnknownCA);

/// A scene, whose client authorities aren't those of its servers.
async fn scene() -> (Scene, Authority) {
    let scene = Scene::new(&["example.com", "example.org"]).await;
    (scene, Authority::new())
}

async fn with_authorities(scene: &Scene, file: &str, authority: &Authority) {
    scene.write(file, authority.pem());
    let path = scene.path(file);
    let is_in_force = |known: &lb_core::tls::AuthorityReport| known.file == path;
    scene.wait_for(|report| report.client_authorities.iter().any(is_in_force)).await;
}

/// How a handshake ended: whether the client was known, or why it wasn't let in.
async fn enter(scene: &Scene, client: &Arc<ClientConfig>, host: &str) -> Result<(), Error> {
    let (seen, session) = scene.meet(client, host).await;
    assert_eq!(seen.is_ok(), session.is_ok());
    seen.map(drop)
}

#[tokio::test]
async fn a_certificate_is_required_where_there_are_authorities() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "example.com.ca.crt", &authority).await;
    let nobody = Arc::new(scene.client());
    let known = Arc::new(scene.client_with(&authority.sign(&["client"])));
    let stranger = Arc::new(scene.client_with(&Authority::new().sign(&["client"])));
    for host in ["example.com", "below.example.com"] {
        assert_eq!(enter(&scene, &nobody, host).await, Err(REQUIRED));
        assert_eq!(enter(&scene, &stranger, host).await, Err(UNKNOWN_CA));
        assert_eq!(enter(&scene, &known, host).await, Ok(()));
    }
    assert_eq!(enter(&scene, &nobody, "example.org").await, Ok(()), "nothing is demanded there");

    with_authorities(&scene, "ca.crt", &Authority::new()).await;
    assert_eq!(enter(&scene, &nobody, "example.org").await, Err(REQUIRED), "of all hosts now");
    assert_eq!(enter(&scene, &known, "example.org").await, Err(UNKNOWN_CA), "by others");
    assert_eq!(enter(&scene, &known, "example.com").await, Ok(()), "its own outrank them");
    scene.demand("example.org", ClientCertificates::Off);
    assert_eq!(enter(&scene, &nobody, "example.org").await, Ok(()));

    let report = scene.store.report();
    let hosts: Vec<_> = report.client_authorities.iter().map(|of| of.host.as_deref()).collect();
    assert_eq!(hosts, [None, Some("example.com")]);
    assert_eq!(report.client_authorities[0].authorities, 1);
}

#[tokio::test]
async fn an_optional_certificate_is_verified_if_there_is_one() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "ca.crt", &authority).await;
    scene.demand("example.com", ClientCertificates::Optional);
    let certificate = authority.sign(&["client"]);
    let known = Arc::new(scene.client_with(&certificate));
    let stranger = Arc::new(scene.client_with(&Authority::new().sign(&["client"])));
    assert_eq!(enter(&scene, &Arc::new(scene.client()), "example.com").await, Ok(()));
    assert_eq!(enter(&scene, &stranger, "example.com").await, Err(UNKNOWN_CA));

    let (near, far) = tokio::io::duplex(1 << 16);
    let connect = crate::scene::connect(&known, "example.com", near);
    let (client, accepted) = tokio::join!(connect, scene.accept(far));
    client.unwrap();
    let accepted = accepted.unwrap();
    let shown = accepted.stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown, [certificate.der]);
}

#[tokio::test]
async fn nobody_is_let_in_without_authorities_that_must_be_there() {
    let (scene, authority) = scene().await;
    let refused = Err(Error::AlertReceived(AlertDescription::InternalError));
    let known = Arc::new(scene.client_with(&authority.sign(&["client"])));
    for demand in [ClientCertificates::Required, ClientCertificates::Optional] {
        scene.demand("example.com", demand);
        let (seen, session) = scene.meet(&known, "example.com").await;
        assert_eq!(seen.map(drop), refused);
        let error = session.unwrap_err();
        assert!(matches!(error, HandshakeError::NoAuthorities { .. }));
        assert!(error.to_string().contains("\"example.com\"; add a .ca.crt or ca.crt"), "{error}");
    }

    // Nothing is demanded but by a file that can't be read.
    scene.write("broken.example.org.ca.crt", "-----BEGIN CERTIFICATE-----\n");
    let report = scene.wait_for(|report| !report.problems.is_empty()).await;
    assert!(report.problems[0].what.contains("is broken PEM"));
    assert_eq!(enter(&scene, &known, "broken.example.org").await, refused);
    assert_eq!(enter(&scene, &known, "www.example.org").await, Ok(()), "others don't care");
}

#[tokio::test]
async fn what_is_demanded_stays_when_its_file_breaks_and_goes_with_it() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "example.com.ca.crt", &authority).await;
    let nobody = Arc::new(scene.client());
    let known = Arc::new(scene.client_with(&authority.sign(&["client"])));
    scene.write("example.com.ca.crt", "nonsense");
    let report = scene.wait_for(|report| !report.problems.is_empty()).await;
    assert_eq!(report.problems[0].effect, Effect::EarlierServed);
    assert_eq!(enter(&scene, &nobody, "example.com").await, Err(REQUIRED));
    assert_eq!(enter(&scene, &known, "example.com").await, Ok(()));

    scene.remove("example.com.ca.crt");
    scene.wait_for(|report| report.client_authorities.is_empty()).await;
    assert_eq!(enter(&scene, &nobody, "example.com").await, Ok(()));
}

#[tokio::test]
async fn sessions_are_resumed() {
    let scene = Scene::new(&["example.com"]).await;
    for client in [scene.client(), scene.old_client()] {
        let client = Arc::new(client);
        let mut resumed = Vec::new();
        for _ in 0..4 {
            let (seen, session) = scene.meet(&client, "example.com").await;
            resumed.push(seen.unwrap().resumed);
            assert_eq!(session.unwrap().resumed(), *resumed.last().unwrap());
        }
        assert_eq!(resumed, [false, true, true, true]);
    }
}

#[tokio::test]
async fn sessions_without_tickets_are_resumed_from_the_cache() {
    let scene = Scene::new(&["example.com"]).await;
    let mut client = scene.old_client();
    client.resumption = Resumption::in_memory_sessions(4)
        .tls12_resumption(tokio_rustls::rustls::client::Tls12Resumption::SessionIdOnly);
    let client = Arc::new(client);
    let (seen, _) = scene.meet(&client, "example.com").await;
    assert!(!seen.unwrap().resumed);
    let (seen, _) = scene.meet(&client, "example.com").await;
    assert!(seen.unwrap().resumed);
}

#[tokio::test]
async fn sessions_outlive_a_certificate_that_is_replaced() {
    let scene = Scene::new(&["example.com"]).await;
    let client = Arc::new(scene.client());
    enter(&scene, &client, "example.com").await.unwrap();
    let before = scene.store.certificates()[0].not_before;
    let renewed = scene.authority.sign_with(&["example.com"], |params| {
        params.not_before += std::time::Duration::from_secs(1);
    });
    scene.write("example.com.crt", &renewed.pem);
    scene.write("example.com.key", &renewed.key);
    scene.wait_for(|report| report.certificates[0].not_before != before).await;
    let (seen, _) = scene.meet(&client, "example.com").await;
    assert!(seen.unwrap().resumed);
}

/// A client that offers its last session to whomever it speaks to, whatever the
/// name.
#[derive(Debug, Default)]
struct Intruder {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Option<Tls13ClientSessionValue>>,
    offered: Mutex<usize>,
}

impl Intruder {
    fn offers<T>(&self, session: Option<T>) -> Option<T> {
        *self.offered.lock().unwrap() += usize::from(session.is_some());
        session
    }
}

impl ClientSessionStore for Intruder {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock().unwrap() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.offers(self.tls12.lock().unwrap().clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *self.tls12.lock().unwrap() = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.tls13.lock().unwrap() = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.offers(self.tls13.lock().unwrap().take())
    }
}

/// Clients of both versions that have a session with a host of which no certificate
/// was demanded.
async fn intruders(scene: &Scene, host: &str) -> Vec<(Arc<ClientConfig>, Arc<Intruder>)> {
    let mut intruders = Vec::new();
    for mut client in [scene.client(), scene.old_client()] {
        let intruder = Arc::new(Intruder::default());
        client.resumption = Resumption::store(intruder.clone());
        let client = Arc::new(client);
        for resumed in [false, true] {
            let (seen, _) = scene.meet(&client, host).await;
            assert_eq!(seen.unwrap().resumed, resumed, "it can be resumed where it was made");
        }
        assert_eq!(*intruder.offered.lock().unwrap(), 1);
        intruders.push((client, intruder));
    }
    intruders
}

async fn assert_kept_out(
    scene: &Scene,
    host: &str,
    intruders: &[(Arc<ClientConfig>, Arc<Intruder>)],
) {
    for (client, intruder) in intruders {
        let (seen, session) = scene.meet(client, host).await;
        assert!(matches!(session, Err(HandshakeError::Failed(_))), "{host}");
        // TLS 1.2 has no alert that says it better.
        let handshake_failure = Error::AlertReceived(AlertDescription::HandshakeFailure);
        let error = seen.unwrap_err();
        assert!([REQUIRED, handshake_failure].contains(&error), "{host}: {error}");
        assert_eq!(*intruder.offered.lock().unwrap(), 2, "it tried with its session");
    }
}

#[tokio::test]
async fn a_session_of_one_host_opens_no_other_that_demands_a_certificate() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "example.com.ca.crt", &authority).await;
    let intruders = intruders(&scene, "example.org").await;
    assert_kept_out(&scene, "example.com", &intruders).await;
}

#[tokio::test]
async fn a_session_ends_when_its_host_begins_to_demand_a_certificate() {
    let (scene, authority) = scene().await;
    let before = intruders(&scene, "example.com").await;
    with_authorities(&scene, "ca.crt", &authority).await;
    assert_kept_out(&scene, "example.com", &before).await;

    // By its own word, with authorities that have been there before.
    scene.demand("www.example.org", ClientCertificates::Off);
    let before = intruders(&scene, "www.example.org").await;
    scene.demand("www.example.org", ClientCertificates::Required);
    assert_kept_out(&scene, "www.example.org", &before).await;
    scene.demand("www.example.org", ClientCertificates::Optional);
    let before = intruders(&scene, "www.example.org").await;
    scene.demand("www.example.org", ClientCertificates::Required);
    assert_kept_out(&scene, "www.example.org", &before).await;
}

#[tokio::test]
async fn a_session_with_a_certificate_ends_with_its_authority() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "ca.crt", &authority).await;
    let known = Arc::new(scene.client_with(&authority.sign(&["client"])));
    for resumed in [false, true] {
        let (seen, _) = scene.meet(&known, "example.com").await;
        assert_eq!(seen.unwrap().resumed, resumed);
    }
    let both = [authority.pem(), Authority::new().pem()].concat();
    scene.write("ca.crt", both);
    scene.wait_for(|report| report.client_authorities[0].authorities == 2).await;
    let (seen, _) = scene.meet(&known, "example.com").await;
    assert!(!seen.unwrap().resumed, "it is verified anew");
    scene.write("ca.crt", Authority::new().pem());
    scene.wait_for(|report| report.client_authorities[0].authorities == 1).await;
    assert_eq!(enter(&scene, &known, "example.com").await, Err(UNKNOWN_CA));
}

#[tokio::test]
async fn a_session_with_a_certificate_ends_with_it() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "ca.crt", &authority).await;
    let end = SystemTime::now() + Duration::from_secs(3);
    let brief = authority.sign_with(&["client"], |params| params.not_after = end.into());
    let client = Arc::new(scene.client_with(&brief));
    enter(&scene, &client, "example.com").await.unwrap();
    // Every session that is resumed gives tickets for others.
    let error = loop {
        let (near, far) = tokio::io::duplex(1 << 16);
        let connect = crate::scene::connect(&client, "example.com", near);
        match tokio::join!(connect, scene.accept(far)) {
            (Ok(mut stream), Ok(mut accepted)) => {
                assert!(accepted.session.resumed());
                assert!(SystemTime::now() < end + Duration::from_secs(30), "it goes on and on");
                accepted.stream.shutdown().await.unwrap();
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "tickets are read by now");
            }
            (_, Err(error)) => break error,
            (Err(error), _) => panic!("{error}"),
        }
    };
    assert!(SystemTime::now() > end - Duration::from_secs(1));
    assert!(error.to_string().contains("expired since its session began"), "{error}");
}

#[tokio::test]
async fn a_request_is_only_for_hosts_that_demand_what_was_shown() {
    let (scene, authority) = scene().await;
    with_authorities(&scene, "example.com.ca.crt", &authority).await;
    let allows =
        |session: &_, host: &str| scene.acceptor.allows(session, host, &scene.options(Some(host)));
    let (_, open) = scene.meet(&Arc::new(scene.client()), "example.org").await;
    let open = open.unwrap();
    for (host, expected) in [
        ("example.org", true),
        ("Example.ORG.", true),
        ("www.example.org", true),
        ("unknown.test", true),
        ("example.com", false),
        ("EXAMPLE.com.", false),
        ("www.example.com", false),
    ] {
        assert_eq!(allows(&open, host), expected, "{host}");
    }
    scene.demand("must.test", ClientCertificates::Required);
    assert!(!allows(&open, "must.test"), "there are no authorities");

    let known = Arc::new(scene.client_with(&authority.sign(&["client"])));
    let (_, known) = scene.meet(&known, "example.com").await;
    let known = known.unwrap();
    assert!(allows(&known, "www.example.com"), "it demands the same");
    assert!(allows(&known, "example.org"), "it demands nothing");
    scene.demand("www.example.com", ClientCertificates::Optional);
    assert!(!allows(&known, "www.example.com"), "another demand");
    scene.demand("example.com", ClientCertificates::Off);
    assert!(allows(&known, "example.com"), "it is the host that was named");
    assert!(scene.acceptor.allows(&open, "example.com", &{
        let mut off = HostOptions::default();
        off.client_certificates = Some(ClientCertificates::Off);
        off
    }));
}
