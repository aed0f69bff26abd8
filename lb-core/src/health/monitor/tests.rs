//! Everything here runs on tokio's paused clock: time passes only when all that
//! could happen at one moment has happened.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::Instant;

use super::*;
use crate::{
    health::{ActiveOptions, BoxFuture, Check, CheckError, OutlierOptions, SlowStart},
    load::Outcome,
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What becomes of a check.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Pass,
    Fail,
    Hang,
    Panic,
}

/// A check that does as it is told, and remembers what it has been asked.
#[derive(Clone, Default)]
struct Scripted(Arc<State>);

#[derive(Default)]
struct State {
    scripts: Mutex<HashMap<EndpointId, Script>>,
    /// When each check began, and of whom.
    begun: Mutex<Vec<(Instant, EndpointId)>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

struct UnderWay(Scripted);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    fn set(&self, id: &str, script: Script) {
        self.0.scripts.lock().unwrap().insert(id.into(), script);
    }

    fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::SeqCst)
    }

    fn begun(&self) -> Vec<(Instant, EndpointId)> {
        self.0.begun.lock().unwrap().clone()
    }

    fn begun_of(&self, id: &str) -> usize {
        self.begun().iter().filter(|(_, who)| who.as_str() == id).count()
    }
}

impl Check<Script> for Scripted {
    fn check<'a>(
        &'a self,
        id: &'a EndpointId,
        target: &'a Script,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(async move {
            self.0.begun.lock().unwrap().push((Instant::now(), id.clone()));
            let now = self.0.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most.fetch_max(now, Ordering::SeqCst);
            let _under_way = UnderWay(self.clone());
            let script = self.0.scripts.lock().unwrap().get(id).copied().unwrap_or(*target);
            time::sleep(ms(20)).await;
            match script {
                Script::Pass => Ok(()),
                Script::Fail => Err(CheckError::new("scripted")),
                Script::Hang => future::pending().await,
                Script::Panic => panic!("scripted"),
            }
        })
    }
}

/// A pool under observation.
struct Pool {
    monitor: Monitor<Script>,
    check: Scripted,
    loads: HashMap<String, Arc<Load>>,
    events: Arc<Mutex<Vec<String>>>,
}

impl Pool {
    fn new(configure: impl FnOnce(Health<Script>) -> Health<Script>) -> Self {
        let events = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&events);
        let health = configure(Health::new())
            .on_event(move |event| log.lock().unwrap().push(event.to_string()));
        Self {
            monitor: Monitor::new(health),
            check: Scripted::default(),
            loads: HashMap::new(),
            events,
        }
    }

    fn checked(configure: impl FnOnce(Health<Script>) -> Health<Script>) -> Self {
        let check = Scripted::default();
        let mut pool = Self::new(|health| configure(health.check(check.clone())));
        pool.check = check;
        pool
    }

    /// A pool with these, which pass their checks.
    fn with(mut self, ids: &[&str]) -> Self {
        ids.iter().for_each(|id| self.insert(id, Script::Pass));
        self
    }

    fn insert(&mut self, id: &str, script: Script) {
        let load = Arc::new(Load::new(true));
        self.loads.insert(id.to_owned(), Arc::clone(&load));
        self.monitor.insert(id.into(), script, load);
    }

    async fn run_for(&mut self, time: Duration) {
        let over = time::timeout(time, self.monitor.run()).await;
        assert!(over.is_err(), "it never ends");
    }

    /// Who may be picked.
    fn ready(&self) -> Vec<&str> {
        let mut ready: Vec<_> =
            self.loads.iter().filter(|(_, load)| load.is_ready()).map(|(id, _)| &**id).collect();
        ready.sort_unstable();
        ready
    }

    fn fail(&self, id: &str, times: usize) {
        (0..times).for_each(|_| self.loads[id].lease().finish(Outcome::Failure));
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn without_anything_set_all_are_healthy() {
    let mut pool = Pool::new(|health| health).with(&["a", "b"]);
    assert_eq!(pool.ready(), ["a", "b"]);
    pool.run_for(secs(60)).await;
    assert_eq!(pool.ready(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_is_picked_once_it_has_passed() {
    let mut pool = Pool::checked(|health| health).with(&["good", "other"]);
    pool.insert("bad", Script::Fail);
    assert!(pool.ready().is_empty());
    pool.run_for(ms(15)).await;
    assert!(pool.ready().is_empty(), "checks are under way");
    pool.run_for(ms(10)).await;
    assert_eq!(pool.ready(), ["good", "other"]);
    let mut events = pool.events();
    events.sort_unstable();
    let expected = ["bad is unhealthy: scripted", "good is healthy", "other is healthy"];
    assert_eq!(events, expected);
}

#[tokio::test(start_paused = true)]
async fn falls_after_three_failures_and_rises_after_two_successes() {
    let options = ActiveOptions { jitter: 0.0, ..Default::default() };
    let mut pool = Pool::checked(|health| health.active(options)).with(&["a", "b", "c"]);
    pool.run_for(secs(6)).await;
    for (script, flips_after) in [(Script::Fail, 3), (Script::Pass, 2), (Script::Panic, 3)] {
        let begun = pool.check.begun_of("a");
        let before = pool.loads["a"].is_ready();
        pool.check.set("a", script);
        while pool.loads["a"].is_ready() == before {
            pool.run_for(ms(1)).await;
        }
        // The check during which it flipped has not ended when it is counted.
        assert_eq!(pool.check.begun_of("a") - begun, flips_after, "{script:?}");
    }
    assert_eq!(pool.ready(), ["b", "c"]);
    let last = pool.events().pop().unwrap();
    assert!(last.starts_with("a is unhealthy: no result: ") && last.contains("panicked"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed_when_its_time_is_over() {
    // Or one of the others might be checked again just when we look.
    fastrand::seed(1);
    let mut pool = Pool::checked(|health| health.timeout(ms(300))).with(&["a", "b"]);
    pool.insert("slow", Script::Hang);
    pool.run_for(ms(299)).await;
    assert_eq!(pool.check.under_way(), 1);
    pool.run_for(ms(10)).await;
    assert_eq!(pool.check.under_way(), 0);
    assert_eq!(pool.events().last().unwrap(), "slow is unhealthy: no answer within 300ms");
}

#[tokio::test(start_paused = true)]
async fn no_more_probes_run_than_are_allowed_and_all_have_their_turn() {
    let mut pool = Pool::checked(|health| health.max_probes(7));
    for i in 0..100 {
        pool.insert(&i.to_string(), if i % 10 == 0 { Script::Hang } else { Script::Pass });
    }
    pool.run_for(secs(60)).await;
    assert_eq!(pool.check.0.most.load(Ordering::SeqCst), 7);
    assert_eq!(pool.ready().len(), 90);
    for i in 0..100 {
        let begun = pool.check.begun_of(&i.to_string());
        assert!((9..=15).contains(&begun), "{i}: {begun}");
    }
}

#[tokio::test(start_paused = true)]
async fn pools_with_clones_of_one_health_share_its_limit() {
    let check = Scripted::default();
    let health = Health::new().check(check.clone()).max_probes(3);
    let mut monitors = [Monitor::new(health.clone()), Monitor::new(health)];
    let mut loads = Vec::new();
    for (pool, monitor) in monitors.iter_mut().enumerate() {
        for i in 0..20 {
            let load = Arc::new(Load::new(true));
            loads.push(Arc::clone(&load));
            // Who is first takes all that may run, for as long as it may.
            let script = if pool == 0 { Script::Hang } else { Script::Pass };
            monitor.insert(format!("{pool}/{i}").into(), script, load);
        }
    }
    let [first, second] = &mut monitors;
    let both = async { tokio::join!(first.run(), second.run()) };
    assert!(time::timeout(secs(60), both).await.is_err());
    assert_eq!(check.0.most.load(Ordering::SeqCst), 3);
    assert!(loads[20..].iter().all(|load| load.is_ready()), "all had their turn");
    assert!((0..20).all(|i| check.begun_of(&format!("0/{i}")) >= 3));
    // Nothing is kept by who has gone.
    let [first, mut second] = monitors;
    drop(first);
    let before = check.begun().len();
    assert!(time::timeout(secs(10), second.run()).await.is_err());
    assert!(check.begun().len() - before >= 35, "each twice in 10 s");
}

#[tokio::test(start_paused = true)]
async fn probes_of_endpoints_that_came_together_spread() {
    fastrand::seed(3);
    let mut pool = Pool::checked(|health| health.max_probes(1_000));
    (0..1_000).for_each(|i| pool.insert(&i.to_string(), Script::Pass));
    let start = Instant::now();
    pool.run_for(secs(30)).await;
    let begun = pool.check.begun();
    let in_second = |second: u64| -> Vec<EndpointId> {
        let is = |at: &Instant| (*at - start).as_secs() == second;
        begun.iter().filter(|(at, _)| is(at)).map(|(_, id)| id.clone()).collect()
    };
    assert!(in_second(0).len() >= 1_000, "the first check is made at once");
    for second in 1..30 {
        let n = in_second(second).len();
        assert!((130..270).contains(&n), "{n} in second {second}");
    }
    // The jitter has them overtake each other.
    let (mut sorted, order) = (in_second(12), in_second(12));
    let rank =
        |id: &EndpointId| begun.iter().rposition(|(at, who)| who == id && *at < start + secs(12));
    sorted.sort_by_key(rank);
    assert_ne!(sorted, order);
}

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_has_its_probe_cancelled() {
    let mut pool = Pool::checked(|health| health.timeout(secs(60)).max_probes(1));
    pool.insert("hangs", Script::Hang);
    pool.run_for(secs(1)).await;
    pool.insert("next", Script::Pass);
    pool.run_for(secs(1)).await;
    assert_eq!((pool.check.under_way(), pool.check.begun_of("next")), (1, 0));
    pool.monitor.remove(&"hangs".into());
    pool.run_for(ms(30)).await;
    assert_eq!((pool.check.under_way(), pool.check.begun_of("next")), (0, 1));
    assert!(pool.ready().contains(&"next"));
    pool.run_for(secs(60)).await;
    assert_eq!(pool.check.begun_of("hangs"), 1);
    assert!(pool.events().iter().all(|event| !event.contains("hangs")));
}

#[tokio::test(start_paused = true)]
async fn another_target_begins_anew() {
    let mut pool = Pool::checked(|health| health.timeout(secs(60)));
    pool.insert("a", Script::Hang);
    pool.run_for(secs(1)).await;
    pool.insert("a", Script::Pass);
    assert!(pool.ready().is_empty());
    pool.run_for(ms(30)).await;
    assert_eq!(pool.ready(), ["a"]);
    assert_eq!(pool.check.under_way(), 0);
    assert_eq!(pool.events(), ["a is healthy"], "the end of the old probe says nothing of it");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_between_two_runs() {
    let mut pool = Pool::checked(|health| health).with(&["a"]);
    // Never long enough for a whole check.
    for _ in 0..30 {
        pool.run_for(ms(1)).await;
    }
    assert_eq!(pool.ready(), ["a"]);
    assert_eq!(pool.check.begun_of("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_monitor_ends_its_probes() {
    let mut pool = Pool::checked(|health| health);
    pool.insert("a", Script::Hang);
    pool.run_for(ms(100)).await;
    let check = pool.check.clone();
    assert_eq!(check.under_way(), 1);
    drop(pool);
    tokio::task::yield_now().await;
    assert_eq!(check.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn health_is_ignored_while_too_few_are_left() {
    let mut pool = Pool::checked(|health| health.fall(1).rise(1).interval(secs(1)))
        .with(&["a", "b", "c", "d"]);
    pool.run_for(secs(2)).await;
    for id in ["a", "b"] {
        pool.check.set(id, Script::Fail);
    }
    pool.run_for(secs(3)).await;
    assert_eq!(pool.ready(), ["c", "d"], "half of them are enough");
    pool.check.set("c", Script::Fail);
    pool.run_for(secs(3)).await;
    assert_eq!(pool.ready(), ["a", "b", "c", "d"]);
    assert!(
        pool.events()
            .contains(&"only 1 of 4 endpoints are healthy: all of them are used".to_owned())
    );
    // What its owner doesn't want doesn't count, and isn't used in a panic.
    pool.loads["a"].set_ready(false);
    pool.run_for(secs(1)).await;
    assert_eq!(pool.ready(), ["b", "c", "d"]);
    pool.loads["b"].set_ready(false);
    pool.run_for(secs(1)).await;
    assert_eq!(pool.ready(), ["d"], "one of two is half of them");
}

#[tokio::test(start_paused = true)]
async fn a_start_is_no_panic() {
    let mut pool = Pool::checked(|health| health.max_probes(1));
    for id in ["a", "b", "c", "d"] {
        pool.insert(id, if id == "d" { Script::Pass } else { Script::Fail });
    }
    pool.run_for(ms(50)).await;
    assert!(pool.ready().is_empty(), "two are known to be bad, of two nothing is known");
    pool.run_for(ms(1_000)).await;
    assert_eq!(pool.ready(), ["a", "b", "c", "d"], "one of four is too few");
}

#[tokio::test(start_paused = true)]
async fn no_panic_where_it_is_switched_off() {
    let mut pool = Pool::checked(|health| health.panic_threshold(0.0));
    pool.insert("a", Script::Fail);
    pool.run_for(secs(60)).await;
    assert!(pool.ready().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_failures_ejects_at_once_and_for_longer_each_time() {
    let mut pool =
        Pool::new(|health| health.outliers(OutlierOptions::default())).with(&["a", "b", "c"]);
    pool.run_for(secs(1)).await;
    for time in [30, 60, 90] {
        pool.fail("a", 4);
        pool.run_for(ms(50)).await;
        assert!(pool.loads["a"].is_ready());
        pool.fail("a", 1);
        pool.run_for(ms(1)).await;
        assert_eq!(pool.ready(), ["b", "c"]);
        let event = format!("a is ejected for {time}s: 5 requests in a row have failed");
        assert_eq!(pool.events(), [event]);
        pool.run_for(secs(time) - ms(2)).await;
        assert_eq!(pool.ready(), ["b", "c"]);
        pool.run_for(ms(2)).await;
        assert_eq!(pool.ready(), ["a", "b", "c"]);
        assert_eq!(pool.events(), ["a is back from its ejection"]);
    }
}

#[tokio::test(start_paused = true)]
async fn beside_one_that_hangs_the_last_is_not_ejected() {
    let mut pool = Pool::new(|health| health.outliers(OutlierOptions::default())).with(&["a", "b"]);
    pool.loads["a"].set_silent(true);
    pool.fail("b", 5);
    pool.run_for(ms(100)).await;
    assert_eq!(pool.ready(), ["b"]);
    pool.loads["a"].set_silent(false);
    pool.fail("b", 1);
    pool.run_for(ms(100)).await;
    assert_eq!(pool.ready(), ["a"], "now there is somebody else");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_does_not_return_from_an_ejection() {
    let mut pool =
        Pool::new(|health| health.outliers(OutlierOptions::default())).with(&["a", "b", "c"]);
    pool.fail("a", 5);
    pool.run_for(ms(1)).await;
    pool.monitor.remove(&"a".into());
    pool.fail("b", 5);
    pool.run_for(secs(20)).await;
    assert!(!pool.loads["b"].is_ready(), "the place is free");
    pool.events();
    pool.run_for(secs(20)).await;
    assert_eq!(pool.events(), ["b is back from its ejection"]);
}

#[tokio::test(start_paused = true)]
async fn failures_while_it_runs_wake_it() {
    let mut pool = Pool::new(|health| health.outliers(OutlierOptions::default())).with(&["a", "b"]);
    let load = Arc::clone(&pool.loads["a"]);
    let fails = async {
        time::sleep(ms(500)).await;
        (0..5).for_each(|_| load.lease().finish(Outcome::Failure));
        time::sleep(ms(1)).await;
        assert!(!load.is_ready());
    };
    tokio::select! {
        _ = pool.monitor.run() => {}
        () = fails => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_soon_after_another_waits_but_is_not_lost() {
    let options = OutlierOptions { max_ejected: 0.5, ..Default::default() };
    let mut pool = Pool::new(|health| health.outliers(options)).with(&["a", "b", "c", "d"]);
    let [a, b] = ["a", "b"].map(|id| Arc::clone(&pool.loads[id]));
    let fails = async {
        (0..5).for_each(|_| a.lease().finish(Outcome::Failure));
        time::sleep(ms(3)).await;
        assert!(!a.is_ready());
        (0..5).for_each(|_| b.lease().finish(Outcome::Failure));
        time::sleep(ms(3)).await;
        assert!(b.is_ready());
        time::sleep(ms(10)).await;
        assert!(!b.is_ready());
    };
    tokio::select! {
        _ = pool.monitor.run() => {}
        () = fails => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_fails_as_a_whole_keeps_most_and_is_not_judged_for_each_request() {
    let ids: Vec<_> = (0..20).map(|i| i.to_string()).collect();
    let mut pool = Pool::new(|health| health.outliers(OutlierOptions::default()));
    ids.iter().for_each(|id| pool.insert(id, Script::Pass));
    for _ in 0..1_000 {
        ids.iter().for_each(|id| pool.fail(id, 1));
        pool.run_for(ms(1)).await;
    }
    assert_eq!(pool.ready().len(), 18);
    // Alarms, and the owner, who calls it a thousand times.
    let reviews = pool.monitor.reviews;
    assert!((80..=220).contains(&reviews), "{reviews} in a second of 20,000 failures");
}

#[tokio::test(start_paused = true)]
async fn a_newly_ready_endpoint_gets_a_growing_share() {
    let mut pool = Pool::checked(|health| health.slow_start(secs(10)));
    pool.insert("a", Script::Pass);
    let share = |pool: &Pool| f64::from(pool.loads["a"].share()) / 256.0;
    assert!(share(&pool) < 0.11, "small before it is ready, too");
    pool.run_for(ms(25)).await;
    assert_eq!(pool.ready(), ["a"]);
    let mut last = 0.0;
    for second in 1..=9_u32 {
        pool.run_for(secs(1)).await;
        let now = share(&pool);
        let line = f64::from(second) / 10.0;
        assert!((line - 0.02..=line + 0.01).contains(&now) && now > last, "{second}: {now}");
        last = now;
    }
    pool.run_for(ms(1_100)).await;
    assert_eq!(share(&pool), 1.0);
}

#[tokio::test(start_paused = true)]
async fn so_does_one_that_is_back() {
    let slow_start = SlowStart { min_share: 0.25, ..SlowStart::new(secs(10)) };
    let mut pool =
        Pool::new(|health| health.outliers(OutlierOptions::default()).slow_start(slow_start))
            .with(&["a", "b"]);
    let share = |pool: &Pool| f64::from(pool.loads["a"].share()) / 256.0;
    pool.run_for(secs(11)).await;
    assert_eq!(share(&pool), 1.0);
    // From an ejection.
    pool.fail("a", 5);
    pool.run_for(ms(1)).await;
    pool.run_for(secs(30)).await;
    assert_eq!((pool.loads["a"].is_ready(), share(&pool)), (true, 0.25));
    pool.run_for(secs(11)).await;
    assert_eq!(share(&pool), 1.0);
    // Because its source wants it again.
    pool.loads["a"].set_ready(false);
    pool.run_for(secs(1)).await;
    pool.loads["a"].set_ready(true);
    pool.run_for(ms(1)).await;
    assert_eq!(share(&pool), 0.25);
}

#[tokio::test(start_paused = true)]
async fn in_a_panic_those_that_fail_count_in_full() {
    let mut pool =
        Pool::checked(|health| health.fall(1).slow_start(secs(60)).interval(secs(1))).with(&["a"]);
    pool.run_for(secs(2)).await;
    assert!(pool.loads["a"].share() < 32);
    pool.check.set("a", Script::Fail);
    pool.run_for(secs(2)).await;
    assert_eq!((pool.ready(), pool.loads["a"].share()), (vec!["a"], 256));

    // One that never was ready, too.
    let mut pool = Pool::checked(|health| health.slow_start(secs(60)));
    pool.insert("a", Script::Fail);
    pool.run_for(ms(50)).await;
    assert_eq!((pool.ready(), pool.loads["a"].share()), (vec!["a"], 256));
    // And it begins small when it recovers, from its very first request on.
    pool.check.set("a", Script::Pass);
    while !pool.events().contains(&"a is healthy".to_owned()) {
        pool.run_for(ms(1)).await;
    }
    assert!(pool.loads["a"].share() < 32);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_when_one_becomes_ready() {
    let woken = Arc::new(Notify::new());
    let wake = Arc::clone(&woken);
    let mut pool = Pool::checked(|health| health);
    pool.monitor = pool.monitor.on_change(move || wake.notify_waiters());
    pool.insert("a", Script::Pass);
    let load = Arc::clone(&pool.loads["a"]);
    let waits = async {
        while !load.is_ready() {
            woken.notified().await;
        }
    };
    tokio::select! {
        _ = pool.monitor.run() => {}
        () = waits => {}
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_endpoints_are_all_checked_in_time() {
    let mut pool = Pool::checked(|health| health);
    (0..10_000).for_each(|i| pool.insert(&i.to_string(), Script::Pass));
    // 64 at a time, 20 ms each.
    pool.run_for(ms(3_300)).await;
    assert_eq!(pool.ready().len(), 10_000);
    assert_eq!(pool.check.0.most.load(Ordering::SeqCst), 64);
}

/// A review looks at all endpoints, so there must not be one for each that passes.
#[tokio::test(start_paused = true)]
async fn a_pool_that_starts_is_not_reviewed_for_each_endpoint() {
    let check = |id: &EndpointId, _: &Script| {
        let takes = ms(id.as_str().parse().unwrap());
        async move {
            time::sleep(takes).await;
            Ok(())
        }
    };
    let mut pool = Pool::new(|health| health.check(check).max_probes(1_000));
    (0..900).for_each(|i| pool.insert(&i.to_string(), Script::Pass));
    pool.run_for(ms(500)).await;
    assert!(pool.ready().len() >= 499, "each is ready at once");
    pool.run_for(ms(450)).await;
    assert_eq!(pool.ready().len(), 900);
    let reviews = pool.monitor.reviews;
    assert!((50..=97).contains(&reviews), "{reviews} in 950 ms");
}
