//! `Balance` over services that are really called.

use std::{future, io, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};
use lb_core::{
    Balance, Change, Endpoint,
    balance::{Algorithm, Error},
    discovery,
    endpoint::State,
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

fn connect(_: &lb_core::EndpointId, name: &&'static str) -> Echo {
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
    let connect = move |id: &lb_core::EndpointId, name: &&'static str| {
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
    let connect = move |_: &lb_core::EndpointId, _: &&'static str| {
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
    let connect = |_: &lb_core::EndpointId, _: &&'static str| {
        service_fn(|()| future::ready(Err::<(), _>(io::Error::other("broken"))))
    };
    let (balance, driver) = Balance::new(discovery::fixed(["a"]), connect, Algorithm::RoundRobin);
    driver.run().await;
    let Err(Error::Inner(error)) = balance.oneshot(()).await else { panic!("no inner error") };
    assert_eq!(error.to_string(), "broken");
}

#[test]
fn a_balance_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Balance<Echo>>();
}
