//! Certificates from a real ACME server: pebble, of Let's Encrypt, which refuses nonces
//! at random. Its package is the one of Debian.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "acme/pebble.rs"]
mod pebble;
#[path = "acme/scene.rs"]
mod scene;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use lb_core::{
    acme::{Account, ChallengeType, ExternalAccount, Manager, Options, State, Turn},
    tls::{CertificateStore, StoreOptions, Verify},
};
use pebble::Setup;
use scene::{Scene, order};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const A: &str = "a.example.test";
const B: &str = "b.example.test";
/// Nobody answers its challenges.
const BROKEN: &str = "broken.example.test";

#[tokio::test]
async fn certificates_are_ordered_kept_and_served() {
    let Some(scene) = Scene::start(Setup::default()).await else { return };
    let begun = SystemTime::now();

    // By HTTP-01. One that fails holds up nobody; others can't be ordered for.
    scene.put_other("own.example.test");
    let (manager, driver) =
        order(&scene, |options| options.challenges = vec![ChallengeType::Http01]);
    manager.set_hosts([A, BROKEN, "*.example.test", "own.example.test"].map(Into::into).into());
    let report = scene::wait_for(&manager, |report| {
        scene::state(report, A) == Some(&State::Valid)
            && matches!(scene::state(report, BROKEN), Some(State::Failed { .. }))
    })
    .await;
    assert_eq!(report.turn, Turn::Ours);
    let Account::Open { url } = report.account.clone() else { panic!("{report:#?}") };
    let Some(State::Failed { why, failures: 1, next_try }) = scene::state(&report, BROKEN) else {
        panic!("{report:#?}")
    };
    assert!(why.starts_with("http-01: ") && why.contains("404"), "{why}");
    assert!(!scene.http.tokens().iter().any(|token| why.contains(token)), "{why}");
    assert!(*next_try >= begun + Duration::from_secs(60));
    assert!(matches!(scene::state(&report, "*.example.test"), Some(State::Refused(_))));
    assert!(matches!(scene::state(&report, "own.example.test"), Some(State::LeftAlone(_))));
    let validity = scene::host(&report, A).unwrap().certificate.unwrap();
    assert!(begun < validity.renews_at && validity.renews_at < validity.not_after);

    // The store serves it to clients that believe who has issued it.
    let shown = scene.shown(A).await;
    assert_eq!(shown, scene.leaf(A));
    for (name, expected) in [(format!("{A}.key"), 0o600), (".acme".into(), 0o700)] {
        let mode = fs::metadata(scene.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
    for token in scene.http.tokens() {
        assert_eq!(scene.challenges.http01(&token), None, "it isn't answered any more");
    }

    // Another process: it waits for its turn, and then has it all from disk. What is
    // new it proves by TLS-ALPN-01.
    let (next, next_driver) = order(&scene, |options| options.challenges.truncate(1));
    next.set_hosts([A, B].map(Into::into).into());
    scene::wait_for(&next, |report| report.turn == Turn::Others).await;
    drop(manager);
    driver.await.unwrap();
    let report =
        scene::wait_for(&next, |report| scene::state(report, B) == Some(&State::Valid)).await;
    assert_eq!(report.account, Account::Open { url }, "the same account");
    assert_eq!(scene::state(&report, A), Some(&State::Valid));
    assert_eq!(scene.shown(A).await, shown, "it wasn't ordered again");
    assert_eq!(scene.shown(B).await, scene.leaf(B));
    assert!(scene.tls.challenges() > 0);
    assert_eq!(scene.tls.other_errors(), Vec::<String>::new());

    // A host that leaves and comes back has what it had.
    next.set_hosts([B.to_owned()].into());
    scene::wait_for(&next, |report| report.hosts.len() == 1).await;
    next.set_hosts([A, B].map(Into::into).into());
    scene::wait_for(&next, |report| scene::state(report, A) == Some(&State::Valid)).await;
    assert_eq!(scene.leaf(A), shown);
    drop(next);
    next_driver.await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_renewed_under_open_connections() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let setup = Setup { validity: Some(6), external_account: Some(("kid-1", key)) };
    let Some(scene) = Scene::start(setup).await else { return };
    let (manager, driver) = order(&scene, |options| {
        options.external_account = Some(ExternalAccount::new("kid-1", key).unwrap());
    });
    manager.set_hosts([A.to_owned()].into());
    scene::wait_for(&manager, |report| scene::state(report, A) == Some(&State::Valid)).await;

    let (mut stream, first) = scene.connect_unverified(A).await;
    let second = loop {
        let (_, shown) = scene.connect_unverified(A).await;
        if shown != first {
            break shown;
        }
        scene.store_changes().await;
    };
    assert_ne!(second, first);
    stream.write_all(b"still there?").await.unwrap();
    let mut heard = [0; 12];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still there?");
    let report = manager.report();
    assert!(!matches!(scene::state(&report, A), Some(State::Failed { .. })), "{report:#?}");
    drop(manager);
    driver.await.unwrap();
}

#[tokio::test]
async fn without_its_server_it_says_so_and_waits() {
    // Nobody listens there.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (store, follower) = CertificateStore::open(StoreOptions::new(folder.path())).unwrap();
    tokio::spawn(follower.run());
    let mut options = Options::default();
    options.directory = format!("https://{address}/dir");
    options.terms_accepted = true;
    options.verify = Verify::Nothing;
    let begun = SystemTime::now();
    let (manager, driver) = Manager::new(options, store, Default::default()).unwrap();
    tokio::spawn(driver.run());
    manager.set_hosts([A.to_owned()].into());
    let report =
        scene::wait_for(&manager, |report| matches!(report.account, Account::Failed { .. })).await;
    let Account::Failed { why, next_try } = &report.account else { panic!("{report:#?}") };
    assert!(why.starts_with(&format!("{address}: ")), "{why}");
    assert!(*next_try >= begun + Duration::from_secs(60));
    assert_eq!(scene::state(&report, A), Some(&State::Waiting));
}

#[tokio::test]
async fn a_folder_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".acme"), "a file").unwrap();
    let (store, follower) = CertificateStore::open(StoreOptions::new(folder.path())).unwrap();
    tokio::spawn(follower.run());
    let mut options = Options::default();
    options.terms_accepted = true;
    let (manager, driver) = Manager::new(options, store, Default::default()).unwrap();
    tokio::spawn(driver.run());
    let report = scene::wait_for(&manager, |report| report.turn != Turn::Unknown).await;
    let Turn::Nobody(why) = &report.turn else { panic!("{report:#?}") };
    assert!(why.contains(".acme: ") && why.contains("make it a folder"), "{why}");
}
