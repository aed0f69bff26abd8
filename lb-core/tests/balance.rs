//! `Balance` over services that are really called.

#![cfg(feature = "test-util")]

use std::{
    collections::{HashMap, HashSet},
    future, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream};
use lb_core::{
    Balance, Change, Endpoint, EndpointId,
    balance::{Algorithm, Attempt, Error},
    discovery,
    endpoint::State,
    load::Load,
    testing::{Scripted, Step, source},
};
use tokio::sync::oneshot;
use tower::{Service, ServiceExt, service_fn, util::BoxCloneSyncService};

type Echo = BoxCloneSyncService<(), &'static str, io::Error>;

fn answers(name: &'static str) -> Echo {
    BoxCloneSyncService::new(service_fn(move |()| future::ready(Ok(name))))
}

async fn names(balance: &Balance<Echo>, requests: usize) -> Vec<&'static str> {
    let mut names: Vec<_> = stream::iter(0..requests)
        .then(|_| balance.clone().oneshot(()).map(Result::unwrap))
        .collect()
        .await;
    names.sort_unstable();
    names
}

fn connect(_: &EndpointId, name: &&'static str) -> Echo {
    answers(name)
}

#[tokio::test(start_paused = true)]
async fn follows_discovery() {
    let (changes, discovery) = discovery::channel();
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    let driver = tokio::spawn(driver.run());

    changes.send(Change::Reset(vec![("1".into(), Endpoint::new("a"))])).unwrap();
    assert_eq!(names(&balance, 2).await, ["a", "a"]);

    changes.upsert("2", Endpoint::new("b")).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(names(&balance, 4).await, ["a", "a", "b", "b"]);

    changes.upsert("1", Endpoint::new("a").state(State::Draining)).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(names(&balance, 2).await, ["b", "b"]);

    changes.remove("2").unwrap();
    changes.upsert("3", Endpoint::new("c").weight(0)).unwrap();
    tokio::task::yield_now().await;
    assert!(matches!(balance.clone().oneshot(()).await, Err(Error::NoneReady)));

    drop(changes);
    driver.await.unwrap();
    assert_eq!(balance.cluster().unwrap().members().len(), 2, "the last set stays in force");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_endpoint() {
    let (changes, discovery) = discovery::channel();
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::LeastRequest);
    tokio::spawn(driver.run());
    let waiting = tokio::spawn(balance.oneshot(()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    changes.upsert("1", Endpoint::new("a")).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends() {
    let empty = discovery::fixed(Vec::<&'static str>::new());
    let (balance, driver) = Balance::new(empty, connect, Algorithm::LeastRequest);
    driver.run().await;
    let at = tokio::time::Instant::now();
    let error = balance.clone().wait(Duration::from_secs(3)).oneshot(()).await.unwrap_err();
    assert!(matches!(error, Error::NoEndpoints), "{error}");
    assert_eq!(at.elapsed().as_secs(), 3);
    balance.wait(Duration::ZERO).oneshot(()).await.unwrap_err();
    assert_eq!(at.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn an_unchanged_endpoint_keeps_its_service() {
    let (changes, discovery) = discovery::channel();
    let (made, mut making) = tokio::sync::mpsc::unbounded_channel();
    let connect = move |id: &EndpointId, name: &&'static str| {
        made.send(id.to_string()).unwrap();
        answers(name)
    };
    let (_balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    let set = |b| {
        let a = Endpoint::new("a");
        Change::Reset(vec![("1".into(), a), ("2".into(), Endpoint::new(b))])
    };
    changes.send(set("b")).unwrap();
    changes.send(set("b2")).unwrap();
    changes.upsert("1", Endpoint::new("a").weight(5)).unwrap();
    drop(changes);
    driver.run().await;
    let mut all = Vec::new();
    making.recv_many(&mut all, 10).await;
    assert_eq!(all, ["1", "2", "2"], "only the one whose target changed is made again");
}

#[tokio::test]
async fn load_counts_until_the_response_or_the_end_of_interest() {
    let (answer, answered) = oneshot::channel::<()>();
    let answered = answered.shared();
    let connect = move |_: &EndpointId, _: &&'static str| {
        let answered = answered.clone();
        service_fn(move |()| answered.clone())
    };
    let (mut balance, driver) =
        Balance::new(discovery::fixed(["a"]), connect, Algorithm::LeastRequest);
    driver.run().await;
    let cluster = balance.cluster().unwrap();
    let in_flight = || cluster.members()[0].load.in_flight();

    let first = balance.call(());
    let second = balance.call(());
    assert_eq!(in_flight(), 2);
    drop(first);
    assert_eq!(in_flight(), 1, "a cancelled request counts no more");
    answer.send(()).unwrap();
    second.await.unwrap();
    assert_eq!(in_flight(), 0);
}

#[tokio::test]
async fn the_error_of_the_inner_service_is_kept() {
    let connect = |_: &EndpointId, _: &&'static str| {
        service_fn(|()| future::ready(Err::<(), _>(io::Error::other("broken"))))
    };
    let (balance, driver) = Balance::new(discovery::fixed(["a"]), connect, Algorithm::RoundRobin);
    driver.run().await;
    let Err(Error::Inner(error)) = balance.oneshot(()).await else { panic!("no inner error") };
    assert_eq!(error.to_string(), "broken");
}

/// A balance over endpoints of these names, which is up to date at once.
async fn over<const N: usize>(
    backends: &[(&'static str, Scripted<&'static str>); N],
) -> Balance<Scripted<&'static str>> {
    let services: HashMap<_, _> = backends.iter().cloned().collect();
    let connect = move |_: &EndpointId, name: &&str| services[name].clone();
    let names = backends.iter().map(|(name, _)| *name);
    let (balance, driver) = Balance::new(discovery::fixed(names), connect, Algorithm::LeastRequest);
    driver.run().await;
    balance
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_gets_more_than_it_may_and_the_queue_is_bounded() {
    let slow = || Scripted::always(Step::AnswerAfter(Duration::from_secs(1), "done"));
    let backends = [("a", slow()), ("b", slow())];
    let balance = over(&backends).await.max_in_flight(2).queue(3).wait(Duration::from_secs(5));
    let requests: Vec<_> = (0..8).map(|_| tokio::spawn(balance.clone().oneshot(()))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(backends.each_ref().map(|(_, backend)| backend.under_way()), [2, 2]);

    let mut results = Vec::new();
    for request in requests {
        results.push(request.await.unwrap());
    }
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 7);
    let refused = results.iter().find_map(|result| result.as_ref().err());
    assert!(matches!(refused, Some(Error::Overloaded)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_in_vain_is_told_so() {
    let backends = [("a", Scripted::always(Step::Hang))];
    let balance = over(&backends).await.max_in_flight(1).wait(Duration::from_secs(5));
    let hanging = tokio::spawn(balance.clone().oneshot(()));
    tokio::task::yield_now().await;
    let error = balance.clone().oneshot(()).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded), "{error}");
    let waiting = tokio::spawn(balance.oneshot(()));
    tokio::task::yield_now().await;
    backends[0].1.from_now_on(Step::Answer("a"));
    hanging.abort();
    assert_eq!(waiting.await.unwrap().unwrap(), "a", "who is cancelled makes room");
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_requests_fail_at_once_until_it_ends() {
    let (changes, discovery) = source();
    let (balance, driver) = Balance::new(discovery, connect, Algorithm::RoundRobin);
    tokio::spawn(driver.run());
    changes.upsert("1", Endpoint::new("a").state(State::Down("paused".into()))).await;
    let took = async || {
        let now = tokio::time::Instant::now();
        let answer = balance.clone().oneshot(()).await;
        (answer.is_ok(), now.elapsed().as_secs())
    };
    assert_eq!(took().await, (false, 10));
    // What becomes of others is no news for this one.
    Load::new(true).set_ready(false);
    assert_eq!(took().await, (false, 0));
    changes.upsert("1", Endpoint::new("a")).await;
    assert_eq!(took().await, (true, 0));
    changes.upsert("1", Endpoint::new("a").state(State::Draining)).await;
    assert_eq!(took().await, (false, 10), "another outage, another wait");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_not_overtaken() {
    let backends = [("a", Scripted::always(Step::AnswerAfter(Duration::from_millis(50), "a")))];
    let balance = over(&backends).await;
    // The limit holds for clones made before it was set, too.
    let greedy = balance.clone();
    let balance = balance.max_in_flight(1);
    let greedy = async {
        for _ in 0..50 {
            greedy.clone().oneshot(()).await.unwrap();
        }
    };
    let modest = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = tokio::time::Instant::now();
        balance.oneshot(()).await.unwrap();
        now.elapsed()
    };
    tokio::select! {
        () = greedy => panic!("fifty went before the one"),
        waited = modest => assert!(waited < Duration::from_millis(150), "{waited:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_an_outage_to_end_keeps_nobody_from_what_is_free() {
    let slow = Step::AnswerAfter(Duration::from_secs(5), "a");
    let balance = over(&[("a", Scripted::always(slow))]).await.max_in_flight(2);
    let load = Arc::clone(&balance.cluster().unwrap().members()[0].load);
    load.set_ready(false);
    let first = tokio::spawn(balance.clone().oneshot(()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.set_ready(true);
    balance.wake();
    // The first has been woken and has not looked yet.
    let now = tokio::time::Instant::now();
    balance.oneshot(()).await.unwrap();
    assert_eq!(now.elapsed().as_secs(), 5);
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_others_do_to_a_load_is_seen_when_told_and_at_the_latest_at_the_end() {
    let backends = [("a", Scripted::new("a"))];
    let balance = over(&backends).await;
    let load = Arc::clone(&balance.cluster().unwrap().members()[0].load);
    load.set_ready(false);
    let waiting = tokio::spawn(balance.clone().oneshot(()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.set_ready(true);
    balance.wake();
    assert_eq!(waiting.await.unwrap().unwrap(), "a");

    load.set_ready(false);
    let waiting = tokio::spawn(balance.clone().oneshot(()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.set_ready(true);
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_wait_may_be_for_good() {
    let backends = [("a", Scripted::always(Step::Hang))];
    let balance = over(&backends).await.max_in_flight(1).wait(Duration::MAX);
    let mut first = balance.clone();
    let hanging = first.call(());
    let waiting = tokio::spawn(balance.oneshot(()));
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    backends[0].1.from_now_on(Step::Answer("a"));
    drop(hanging);
    assert_eq!(waiting.await.unwrap().unwrap(), "a");
}

#[tokio::test]
async fn attempts_at_one_request_go_to_different_endpoints() {
    let backends = ["a", "b", "c"].map(|name| (name, Scripted::new(name)));
    let attempts = over(&backends).await.attempts();
    for _ in 0..20 {
        let first = Attempt::new(());
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(attempts.clone().oneshot(first.again(())).await.unwrap());
        }
        answers.sort_unstable();
        assert_eq!(answers, ["a", "b", "c"]);
        assert_eq!(first.tried.endpoints().len(), 3);
        attempts.clone().oneshot(first.again(())).await.unwrap();
        assert_eq!(first.tried.endpoints().len(), 1, "all were tried, so it begins anew");
    }
}

#[tokio::test]
async fn requests_of_one_key_stay_together() {
    let backends = ["a", "b", "c"].map(|name| (name, Scripted::new(name)));
    let services: HashMap<_, _> = backends.into_iter().collect();
    let connect = move |_: &EndpointId, name: &&str| services[name].clone();
    let (balance, driver) =
        Balance::new(discovery::fixed(["a", "b", "c"]), connect, Algorithm::Maglev);
    driver.run().await;
    let balance = balance.hash_by(|user: &u64| Some(*user));
    let mut owners = HashMap::new();
    for request in 0..300_u64 {
        let owner = balance.clone().oneshot(request % 30).await.unwrap();
        assert_eq!(*owners.entry(request % 30).or_insert(owner), owner);
    }
    assert_eq!(owners.into_values().collect::<HashSet<_>>().len(), 3);
}

/// Picks on several threads while the set changes under them: whatever has been
/// removed gets nothing once the removal has taken effect.
#[test]
fn nothing_is_sent_to_who_has_left() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (changes, discovery) = source();
        let connect = |_: &EndpointId, generation: &u64| {
            let generation = *generation;
            service_fn(move |()| future::ready(Ok::<_, io::Error>(generation)))
        };
        let (balance, driver) = Balance::new(discovery, connect, Algorithm::PeakEwma);
        tokio::spawn(driver.run());
        let left = Arc::new(AtomicU64::new(0));
        changes.upsert("0", Endpoint::new(1)).await;
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (balance, left) = (balance.clone(), Arc::clone(&left));
                tokio::spawn(async move {
                    let mut sent = 0;
                    while left.load(Ordering::Acquire) < 300 {
                        let gone = left.load(Ordering::Acquire);
                        let generation = balance.clone().oneshot(()).await.unwrap();
                        assert!(generation > gone, "{generation} answered, {gone} had left");
                        sent += 1;
                        tokio::task::yield_now().await;
                    }
                    sent
                })
            })
            .collect();
        for generation in 1..=300 {
            changes.upsert(generation.to_string(), Endpoint::new(generation + 1)).await;
            changes.remove((generation - 1).to_string()).await;
            left.store(generation, Ordering::Release);
        }
        for client in clients {
            assert!(client.await.unwrap() > 0);
        }
    });
}

#[test]
fn a_balance_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Balance<Echo>>();
}
