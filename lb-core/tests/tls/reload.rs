//! Files that change, also for the worse.

use std::{fs, os::unix::fs::symlink, sync::Arc, time::Duration};

use lb_core::tls::{AcceptorOptions, CertificateStore, Effect, Problem, StoreOptions};
use rcgen::date_time_ymd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::{
    UNRECOGNIZED_NAME,
    scene::{Authority, Scene, Signed, connect, write},
};

#[tokio::test]
async fn a_connection_outlives_its_certificate() {
    let scene = Scene::new(&[]).await;
    let first = scene.put("example.com");
    scene.wait_for(|report| report.certificates.len() == 1).await;
    let client = Arc::new(scene.client());
    let (near, far) = duplex(1 << 16);
    let (near, far) = tokio::join!(connect(&client, "example.com", near), scene.accept(far));
    let (mut near, mut far) = (near.unwrap(), far.unwrap().stream);
    assert_eq!(near.get_ref().1.peer_certificates().unwrap()[0], first.der);

    let second = scene.put("example.com");
    shows(&scene, "example.com", &second).await;
    scene.remove("example.com.crt");
    scene.remove("example.com.key");
    scene.wait_for(|report| report.certificates.is_empty()).await;
    assert_eq!(scene.shown("example.com").await, Err(UNRECOGNIZED_NAME));

    near.write_all(b"still there?").await.unwrap();
    near.flush().await.unwrap();
    let mut heard = [0; 12];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still there?");
}

/// Waits until this is what clients are shown.
async fn shows(scene: &Scene, host: &str, expected: &Signed) {
    let begun = std::time::Instant::now();
    while scene.shown(host).await.as_ref() != Ok(&expected.der) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:#?}", scene.store.report());
        tokio::task::yield_now().await;
    }
}

async fn problem(scene: &Scene) -> Problem {
    let report = scene.wait_for(|report| !report.problems.is_empty()).await;
    assert_eq!(report.problems.len(), 1, "{:#?}", report.problems);
    report.problems[0].clone()
}

#[tokio::test]
async fn what_is_broken_leaves_what_was_there() {
    let scene = Scene::new(&["other.test"]).await;
    let other = scene.shown("other.test").await.unwrap();
    let good = scene.put("example.com");
    let next = scene.authority.sign(&["example.com"]);
    scene.wait_for(|report| report.certificates.len() == 2).await;
    let in_one_line = good.key.replace('\n', "");
    let half = &next.key[..next.key.len() / 2];
    let expired = scene.authority.sign_with(&["example.com"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = scene.authority.sign_with(&["example.com"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let encrypted = good.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    let (crt, key, ca) = ("example.com.crt", "example.com.key", "example.com.ca.crt");
    for (file, content, named, what, remedy) in [
        (key, None, key, "is missing, the key of example.com.crt", "put it there"),
        (crt, None, crt, "is missing, the certificate of example.com.key", "put it there"),
        (key, Some(&*next.key), key, "is not the key of example.com.crt", "beside its certificate"),
        (crt, Some(&*next.pem), key, "is not the key of example.com.crt", "beside its certificate"),
        (key, Some(""), key, "there is no private key in it", "as PEM"),
        (key, Some(half), key, "is broken PEM", "in whole"),
        (key, Some(&*in_one_line), key, "is broken PEM", "in whole"),
        (key, Some(&*encrypted), key, "is encrypted", "openssl pkey"),
        (key, Some(no_key), key, "is broken, or of a kind", "RSA (2048 bits or more)"),
        (crt, Some(""), crt, "there is no certificate in it", "chain below it"),
        (crt, Some("-----BEGIN CERTIFICATE-----\nAAAA"), crt, "is broken PEM", "in whole"),
        (crt, Some(no_certificate), crt, "is no certificate that can be served", "version 3"),
        (ca, Some("nonsense"), ca, "there is no certificate in it", "each of them whole"),
    ] {
        match content {
            Some(content) => scene.write(file, content),
            None => scene.remove(file),
        }
        let problem = problem(&scene).await;
        assert_eq!(problem.name, "example.com");
        assert_eq!(problem.file, scene.path(named), "{problem}");
        assert!(problem.what.starts_with(what), "{problem}");
        assert!(problem.remedy.contains(remedy), "{problem}");
        assert_eq!(problem.effect, Effect::EarlierServed, "{problem}");
        assert!(!problem.to_string().contains(&good.key[40..60]), "{problem}");
        assert_eq!(scene.shown("example.com").await.as_ref(), Ok(&good.der), "{problem}");
        assert_eq!(scene.shown("other.test").await.as_ref(), Ok(&other), "{problem}");

        scene.write(crt, &good.pem);
        scene.write(key, &good.key);
        let _ = fs::remove_file(scene.path(ca));
        scene.wait_for(|report| report.problems.is_empty()).await;
    }
    for (pair, what) in [
        (&expired, "has expired, 2021-01-01T00:00:00Z"),
        (&early, "isn't valid before 4000-01-01T00:00:00Z"),
    ] {
        scene.write(crt, &pair.pem);
        scene.write(key, &pair.key);
        let report = scene
            .wait_for(|report| report.problems.first().is_some_and(|first| first.what == what))
            .await;
        assert_eq!(report.problems[0].effect, Effect::EarlierServed);
        assert_eq!(scene.shown("example.com").await.as_ref(), Ok(&good.der));
    }
    shows(&scene, "example.com", &scene.put("example.com")).await;
    scene.wait_for(|report| report.problems.is_empty()).await;
}

#[tokio::test]
async fn an_expired_certificate_is_better_than_none() {
    let scene = Scene::new(&[]).await;
    let expired = scene.authority.sign_with(&["example.com"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    scene.write("example.com.crt", &expired.pem);
    scene.write("example.com.key", &expired.key);
    let problem = problem(&scene).await;
    assert_eq!(problem.effect, Effect::ServedAnyway);
    assert_eq!(
        problem.to_string(),
        format!(
            "{}: has expired, 2021-01-01T00:00:00Z; renew it (served all the same)",
            scene.path("example.com.crt").display()
        )
    );
    let error = scene.shown("example.com").await.unwrap_err();
    assert!(error.to_string().contains("certificate expired"), "the client judges: {error}");
}

#[tokio::test]
async fn what_was_broken_from_the_start_is_not_served() {
    let scene = Scene::new(&["default"]).await;
    scene.write("www.example.com.key", "nothing");
    scene.write("www.example.com.crt", scene.authority.sign(&["www.example.com"]).pem);
    let problem = problem(&scene).await;
    assert_eq!(problem.effect, Effect::NotServed);
    assert_eq!(scene.store.certificates().len(), 1);
    let domain = scene.put("example.com");
    shows(&scene, "www.example.com", &domain).await;
}

#[tokio::test]
async fn links_that_are_swapped_are_followed() {
    let scene = Scene::new(&[]).await;
    // As acme-companion links to files, and Kubernetes to folders.
    let versions: Vec<_> = ["1", "2"]
        .map(|version| {
            let signed = scene.authority.sign(&["example.com"]);
            fs::create_dir(scene.path(version)).unwrap();
            write(&scene.path(version).join("fullchain.pem"), signed.pem.as_bytes());
            write(&scene.path(version).join("key.pem"), signed.key.as_bytes());
            signed
        })
        .into();
    let swap = |version| {
        symlink(version, scene.path("new")).unwrap();
        fs::rename(scene.path("new"), scene.path("now")).unwrap();
    };
    swap("1");
    symlink("now/fullchain.pem", scene.path("example.com.crt")).unwrap();
    symlink("now/key.pem", scene.path("example.com.key")).unwrap();
    shows(&scene, "example.com", &versions[0]).await;
    swap("2");
    shows(&scene, "example.com", &versions[1]).await;
    assert_eq!(scene.store.report().problems, []);
}

#[tokio::test]
async fn a_folder_that_goes_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let certs = parent.path().join("certs");
    let directory = certs.clone();
    let options = AcceptorOptions::default();
    fs::create_dir(&certs).unwrap();
    let scene = Scene::with(&[], |store| store.directory = directory, options).await;
    let signed = scene.authority.sign(&["example.com"]);
    write(&certs.join("example.com.crt"), signed.pem.as_bytes());
    write(&certs.join("example.com.key"), signed.key.as_bytes());
    shows(&scene, "example.com", &signed).await;

    let away = parent.path().join("away");
    fs::rename(&certs, &away).unwrap();
    let problem = problem(&scene).await;
    assert_eq!((problem.name.as_str(), &problem.file), ("", &certs));
    assert!(problem.what.contains("can't be read: No such file"), "{problem}");
    assert_eq!(problem.effect, Effect::EarlierServed);
    assert_eq!(scene.shown("example.com").await.as_ref(), Ok(&signed.der));
    fs::rename(&away, &certs).unwrap();
    let report = scene.wait_for(|report| report.problems.is_empty()).await;
    assert_eq!(report.certificates.len(), 1);
}

#[tokio::test]
async fn a_folder_that_comes_later_is_waited_for() {
    let parent = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(parent.path().join("certs"));
    options.interval = Duration::from_millis(10);
    let (store, follower) = CertificateStore::open(options).unwrap();
    let following = tokio::spawn(follower.run());
    let report = store.wait_for(|report| !report.problems.is_empty()).await;
    assert!(!report.synced);
    assert_eq!(report.problems[0].effect, Effect::NotServed);
    fs::create_dir(parent.path().join("certs")).unwrap();
    let report = store.wait_for(|report| report.synced).await;
    assert_eq!(report.problems, []);
    drop(store);
    following.await.unwrap();
}

#[tokio::test]
async fn a_key_that_everybody_reads_is_told_of() {
    use std::os::unix::fs::PermissionsExt;

    let scene = Scene::new(&["example.com"]).await;
    let key = scene.path("example.com.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let problem = problem(&scene).await;
    assert_eq!(problem.file, key);
    assert_eq!(problem.effect, Effect::ServedAnyway);
    assert!(problem.remedy.contains("chmod o-r"), "{problem}");
    scene.shown("example.com").await.unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    scene.wait_for(|report| report.problems.is_empty()).await;
}

#[tokio::test]
async fn two_files_for_the_same_name_are_told_of() {
    let scene = Scene::new(&["*.example.com"]).await;
    scene.put("_.example.com");
    let report = scene.wait_for(|report| report.problems.len() == 2).await;
    for (problem, file) in report.problems.iter().zip(["_.example.com.crt", "_.example.com.key"]) {
        assert_eq!(problem.file, scene.path(file));
        assert!(problem.what.contains("another file of this kind for *.example.com"), "{problem}");
    }
}

#[tokio::test]
async fn a_canadian_host_may_lose_its_key() {
    let scene = Scene::new(&[]).await;
    let signed = scene.authority.sign(&["shop.ca"]);
    scene.write("shop.ca.crt", &signed.pem);
    let problem = problem(&scene).await;
    assert!(problem.what.contains("authorities of the clients of \"shop\""), "{problem}");
    assert!(problem.remedy.contains("put shop.ca.key beside it"), "{problem}");
    scene.write("shop.ca.key", &signed.key);
    shows(&scene, "shop.ca", &signed).await;
    scene.wait_for(|report| report.problems.is_empty()).await;
    scene.remove("shop.ca.key");
    let report = scene.wait_for(|report| !report.problems.is_empty()).await;
    assert!(report.problems[0].what.starts_with("is missing, the key of shop.ca.crt"));
    assert_eq!(scene.shown("shop.ca").await.as_ref(), Ok(&signed.der));
}

#[tokio::test]
async fn keys_are_shown_by_nothing() {
    let scene = Scene::new(&[]).await;
    let signed = scene.put("example.com");
    scene.write("ca.crt", Authority::new().pem());
    scene.wait_for(|report| report.certificates.len() == 1).await;
    let known = Arc::new(scene.client());
    scene.demand("example.com", lb_core::tls::ClientCertificates::Off);
    let (near, far) = duplex(1 << 16);
    let (_near, accepted) = tokio::join!(connect(&known, "example.com", near), scene.accept(far));
    let accepted = accepted.unwrap();
    let all = format!(
        "{:?} {:?} {:?} {:?} {:#?}",
        scene.store,
        scene.acceptor,
        scene.store.report(),
        accepted,
        accepted.session
    );
    let secret = signed.key_der.secret_der();
    let numbers = format!("{:?}", &secret[40..48]);
    let numbers = numbers.trim_matches(['[', ']']);
    let hex: String = secret[40..48].iter().map(|byte| format!("{byte:02x}")).collect();
    for shown in [numbers, &hex, &signed.key[60..80]] {
        assert!(!all.contains(shown), "{all}");
    }
    assert!(all.contains("example.com.crt"));
}
