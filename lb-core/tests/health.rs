//! Health, as the requests through a `Balance` see it.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lb_core::{
    Balance, Endpoint, EndpointId,
    balance::{Algorithm, Error},
    health::{CheckError, Health, OutlierOptions},
    testing::{Scripted, SourceHandle, Step, source},
};
use tokio::time;
use tower::ServiceExt;

type Backends = [Scripted<&'static str>; 3];

/// A balance over three endpoints `a`, `b` and `c`.
async fn balance(
    health: Health<usize>,
) -> (Balance<Scripted<&'static str>>, Backends, SourceHandle<usize>) {
    let backends = ["a", "b", "c"].map(Scripted::new);
    let (changes, discovery) = source();
    let services = backends.clone();
    let connect = move |_: &EndpointId, at: &usize| services[*at].clone();
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    tokio::spawn(driver.health(health).run());
    let set = ["a", "b", "c"].into_iter().enumerate();
    changes.reset(set.map(|(at, name)| (name.into(), Endpoint::new(at)))).await;
    (balance, backends, changes)
}

/// So many requests, and how many of them failed.
async fn failures(balance: &Balance<Scripted<&'static str>>, requests: usize) -> usize {
    let mut failed = 0;
    for _ in 0..requests {
        failed += usize::from(balance.clone().oneshot(()).await.is_err());
        tokio::task::yield_now().await;
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_ejected_and_comes_back() {
    let health = Health::new().outliers(OutlierOptions::default());
    let (balance, [a, ..], _changes) = balance(health).await;
    a.from_now_on(Step::Fail("out of memory"));
    assert_eq!(failures(&balance, 300).await, 5, "five in a row, and no more");
    a.from_now_on(Step::Answer("a"));
    time::sleep(Duration::from_secs(29)).await;
    let before = a.calls();
    assert_eq!(failures(&balance, 30).await, 0);
    assert_eq!(a.calls(), before, "it is still out");
    time::sleep(Duration::from_secs(2)).await;
    assert_eq!(failures(&balance, 30).await, 0);
    assert_eq!(a.calls(), before + 10, "its turns are its own again");
}

#[tokio::test(start_paused = true)]
async fn checks_decide_who_is_picked() {
    let well: Arc<[AtomicBool; 3]> = Arc::new([true, false, true].map(AtomicBool::new));
    let checked = Arc::clone(&well);
    let check = move |_: &EndpointId, at: &usize| {
        let well = checked[*at].load(Ordering::Relaxed);
        async move { if well { Ok(()) } else { Err(CheckError::new("it said no")) } }
    };
    let (balance, backends, _changes) = balance(Health::new().check(check)).await;
    time::sleep(Duration::from_secs(10)).await;
    let calls = || [0, 1, 2].map(|at: usize| backends[at].calls());
    assert_eq!(failures(&balance, 20).await, 0);
    assert_eq!(calls(), [10, 0, 10]);

    well[1].store(true, Ordering::Relaxed);
    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(failures(&balance, 30).await, 0);
    assert_eq!(calls(), [20, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_first_check_to_pass() {
    let check = |_: &EndpointId, _: &usize| async {
        time::sleep(Duration::from_millis(300)).await;
        Ok(())
    };
    let (balance, ..) = balance(Health::new().check(check).panic_threshold(0.0)).await;
    let now = time::Instant::now();
    let refused = balance.clone().wait(Duration::ZERO).oneshot(()).await;
    assert!(matches!(refused, Err(Error::NoneReady)), "{refused:?}");
    balance.oneshot(()).await.unwrap();
    assert!(now.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(start_paused = true)]
async fn a_level_that_is_down_leaves_requests_to_the_next() {
    let (changes, discovery) = source();
    let connect = |id: &EndpointId, _: &bool| match id.as_str() {
        "spare" => Scripted::new("spare"),
        _ => Scripted::always(Step::Fail("down")),
    };
    let check = |_: &EndpointId, well: &bool| {
        let well = *well;
        async move { if well { Ok(()) } else { Err(CheckError::new("it said no")) } }
    };
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::LeastRequest);
    tokio::spawn(driver.health(Health::new().check(check)).run());
    let first = (0..4).map(|at| (at.to_string().into(), Endpoint::new(false)));
    let spare = ("spare".into(), Endpoint::new(true).priority(1));
    changes.reset(first.chain([spare])).await;
    time::sleep(Duration::from_secs(60)).await;
    for _ in 0..100 {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "spare");
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_ends_with_its_balance() {
    let (changes, discovery) = source();
    let connect = |_: &EndpointId, _: &usize| Scripted::new("a");
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    let health = Health::new().outliers(OutlierOptions::default());
    let driver = tokio::spawn(driver.health(health).run());
    changes.upsert("a", Endpoint::new(0)).await;
    drop(changes);
    time::sleep(Duration::from_secs(60)).await;
    assert!(!driver.is_finished(), "health goes on after the end of the discovery");
    drop(balance);
    driver.await.unwrap();
}

#[tokio::test]
async fn a_driver_ends_with_its_balance_though_its_source_goes_on() {
    let (changes, discovery) = source();
    let connect = |_: &EndpointId, _: &usize| Scripted::new("a");
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    let driver = tokio::spawn(driver.run());
    changes.upsert("a", Endpoint::new(0)).await;
    drop(balance.clone());
    tokio::task::yield_now().await;
    assert!(!driver.is_finished());
    drop(balance);
    driver.await.unwrap();
}
