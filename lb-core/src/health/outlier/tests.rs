use std::collections::{BTreeSet, HashMap};

use proptest::{collection::vec, prelude::*};

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A pool and what its endpoints have done.
struct Scene {
    now: Instant,
    outliers: Outliers,
    seen: HashMap<EndpointId, Observation>,
}

impl Scene {
    fn new(n: usize, options: OutlierOptions) -> Self {
        let now = Instant::now();
        let mut outliers = Outliers::new(options, now);
        let results = Results::default();
        let seen: HashMap<_, _> =
            (0..n).map(|i| (id(i), Observation { results, wanted: true, healthy: true })).collect();
        for id in seen.keys() {
            outliers.insert(now, id.clone(), results);
        }
        Self { now, outliers, seen }
    }

    fn with(n: usize) -> Self {
        Self::new(n, OutlierOptions::default())
    }

    fn of(&mut self, i: usize) -> &mut Observation {
        self.seen.get_mut(&id(i)).unwrap()
    }

    fn fail(&mut self, i: usize, times: u32) {
        let results = &mut self.of(i).results;
        results.failures = results.failures.wrapping_add(times.into());
        results.consecutive_failures = results.consecutive_failures.saturating_add(times);
    }

    fn succeed(&mut self, i: usize, times: u32) {
        let results = &mut self.of(i).results;
        results.successes = results.successes.wrapping_add(times.into());
        if times > 0 {
            results.consecutive_failures = 0;
        }
    }

    fn judge(&mut self) -> Vec<Decision> {
        self.outliers.judge(self.now, |id| self.seen[id])
    }

    /// What is decided once `time` has passed.
    fn later(&mut self, time: Duration) -> Vec<Decision> {
        self.now += time;
        self.judge()
    }

    fn ejected(&self) -> usize {
        self.seen.keys().filter(|id| self.outliers.is_ejected(id)).count()
    }
}

fn id(i: usize) -> EndpointId {
    i.to_string().into()
}

fn returns(i: usize) -> Decision {
    Decision::Return { id: id(i) }
}

fn who(decisions: &[Decision]) -> Vec<&str> {
    decisions
        .iter()
        .map(|decision| match decision {
            Decision::Eject { id, .. } | Decision::Return { id } => id.as_str(),
        })
        .collect()
}

/// How long the only decision ejects somebody for.
fn ejection(decisions: &[Decision]) -> Duration {
    let [Decision::Eject { duration, .. }] = decisions else { panic!("{decisions:?}") };
    *duration
}

#[test]
fn the_fifth_failure_in_a_row_ejects() {
    let mut scene = Scene::with(2);
    scene.fail(0, 4);
    assert_eq!(scene.judge(), []);
    scene.fail(0, 1);
    let reason = Reason::ConsecutiveFailures(5);
    assert_eq!(scene.judge(), [Decision::Eject { id: id(0), reason, duration: secs(30) }]);
    assert_eq!(scene.judge(), [], "said once");
}

#[test]
fn a_success_begins_a_new_count() {
    let mut scene = Scene::with(2);
    scene.fail(0, 4);
    scene.succeed(0, 1);
    scene.fail(0, 4);
    assert_eq!(scene.judge(), []);
}

#[test]
fn an_ejection_ends_on_time_and_its_failures_are_paid_for() {
    let mut scene = Scene::with(2);
    scene.fail(0, 5);
    scene.judge();
    // These had been sent before.
    scene.fail(0, 3);
    assert_eq!(scene.later(secs(30) - Duration::from_millis(1)), []);
    assert_eq!(scene.outliers.next_at(), scene.now + Duration::from_millis(1));
    assert_eq!(scene.later(Duration::from_millis(1)), [returns(0)]);
    scene.fail(0, 4);
    assert_eq!(scene.judge(), []);
    scene.fail(0, 1);
    assert_eq!(who(&scene.judge()), ["0"]);
}

#[test]
fn a_success_after_the_return_is_seen_even_if_failures_hide_it() {
    let mut scene = Scene::with(2);
    scene.fail(0, 5);
    scene.judge();
    scene.later(secs(30));
    // Between two looks: one success, and then as many failures as before.
    scene.succeed(0, 1);
    scene.fail(0, 5);
    assert_eq!(who(&scene.judge()), ["0"]);
}

#[test]
fn ejections_get_longer_and_the_reason_is_forgotten_in_service() {
    let mut scene = Scene::with(2);
    let mut durations = Vec::new();
    for _ in 0..12 {
        scene.fail(0, 5);
        let duration = ejection(&scene.judge());
        assert_eq!(scene.later(duration), [returns(0)]);
        durations.push(duration.as_secs());
    }
    assert_eq!(durations, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    for _ in 0..3 {
        assert_eq!(scene.later(secs(10)), []);
    }
    scene.fail(0, 5);
    assert_eq!(ejection(&scene.judge()), secs(240), "three of ten are forgotten");
    scene.later(secs(240));
    for _ in 0..50 {
        assert_eq!(scene.later(secs(10)), []);
    }
    scene.fail(0, 5);
    assert_eq!(ejection(&scene.judge()), secs(30));
}

#[test]
fn a_sole_endpoint_is_never_ejected() {
    let mut scene = Scene::with(1);
    scene.fail(0, 100);
    assert_eq!(scene.judge(), []);
}

#[test]
fn neither_is_the_last_that_can_be_used() {
    let mut scene = Scene::with(3);
    scene.of(1).wanted = false;
    scene.of(2).healthy = false;
    scene.fail(0, 100);
    assert_eq!(scene.judge(), []);
}

#[test]
fn who_is_ejected_returns_when_nobody_else_is_left() {
    let mut scene = Scene::with(2);
    scene.fail(0, 5);
    scene.judge();
    scene.of(1).healthy = false;
    assert_eq!(scene.later(secs(1)), [returns(0)]);
}

#[test]
fn a_place_that_gets_free_is_taken() {
    let mut scene = Scene::with(10);
    scene.fail(3, 5);
    scene.fail(4, 6);
    assert_eq!(who(&scene.judge()), ["3"]);
    // Its time is over, and the other one has not succeeded since.
    let decisions = scene.later(secs(30));
    assert_eq!(who(&decisions), ["3", "4"], "{decisions:?}");
}

/// Envoy's own example: rates of 50 and four times 100 % have a mean of 90, a
/// deviation of 20 and so a threshold of 52.
#[test]
fn a_low_success_rate_ejects() {
    let mut scene = Scene::with(5);
    for i in 0..5 {
        scene.fail(i, if i == 2 { 50 } else { 0 });
        scene.succeed(i, if i == 2 { 50 } else { 100 });
    }
    assert_eq!(scene.judge(), [], "not before the interval is over");
    let decisions = scene.later(secs(10));
    let [Decision::Eject { id: who, reason: Reason::SuccessRate { rate, threshold }, .. }] =
        &decisions[..]
    else {
        panic!("{decisions:?}")
    };
    assert_eq!((who, *rate), (&id(2), 0.5));
    assert!((threshold - 0.52).abs() < 1e-9, "{threshold}");
}

#[test]
fn the_worst_of_several_goes_first() {
    let mut scene = Scene::with(20);
    for i in 0..20 {
        let failures = match i {
            3 => 60,
            4 => 90,
            5 => 70,
            _ => 0,
        };
        scene.fail(i, failures);
        scene.succeed(i, 100 - failures);
    }
    assert_eq!(who(&scene.later(secs(10))), ["4", "5"]);
}

#[test]
fn rates_are_compared_among_enough_endpoints_with_enough_requests() {
    for (hosts, requests) in [(4, 200), (5, 198)] {
        let mut scene = Scene::with(hosts);
        for i in 0..hosts {
            scene.fail(i, if i == 0 { requests / 2 } else { 0 });
            scene.succeed(i, if i == 0 { 1 } else { requests / 2 });
        }
        assert_eq!(scene.later(secs(10)), [], "{hosts} hosts, {requests} requests");
    }
}

#[test]
fn each_interval_counts_for_itself() {
    let mut scene = Scene::with(5);
    for _ in 0..3 {
        for i in 0..5 {
            scene.fail(i, if i == 0 { 45 } else { 0 });
            scene.succeed(i, if i == 0 { 45 } else { 90 });
        }
        assert_eq!(scene.later(secs(10)), [], "90 requests are not enough");
    }
}

#[test]
fn counters_may_wrap() {
    let mut scene = Scene::with(2);
    let near = Results { successes: u64::MAX - 3, failures: u64::MAX - 3, ..Results::default() };
    for i in 0..2 {
        scene.of(i).results = near;
        let now = scene.now;
        scene.outliers.insert(now, id(i), near);
    }
    scene.fail(0, 5);
    assert_eq!(who(&scene.judge()), ["0"]);
}

/// One step in the life of a pool.
#[derive(Clone, Debug)]
struct Step {
    endpoint: usize,
    successes: u32,
    failures: u32,
    wanted: bool,
    healthy: bool,
    millis: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (0_usize..40, 0_u32..300, 0_u32..300, any::<u8>(), any::<u8>(), 0_u64..20_000).prop_map(
        |(endpoint, successes, failures, wanted, healthy, millis)| Step {
            endpoint,
            successes: if failures > 150 { 0 } else { successes },
            failures,
            wanted: wanted > 20,
            healthy: healthy > 20,
            millis,
        },
    )
}

proptest! {
    #[test]
    fn never_more_than_the_share_never_the_last(
        n in 1_usize..40,
        max_ejected in 0.0..=1.0,
        steps in vec(step(), 1..100),
    ) {
        let mut scene = Scene::new(n, OutlierOptions { max_ejected, ..Default::default() });
        let mut out: BTreeMap<EndpointId, Instant> = BTreeMap::new();
        for step in steps {
            let i = step.endpoint % n;
            scene.succeed(i, step.successes);
            scene.fail(i, step.failures);
            scene.of(i).wanted = step.wanted;
            scene.of(i).healthy = step.healthy;
            let decisions = scene.later(Duration::from_millis(step.millis));

            let wanted = scene.seen.values().filter(|seen| seen.wanted).count();
            let limit = (wanted as f64 * max_ejected).max(1.0) + 1e-6;
            let good: BTreeSet<_> = scene
                .seen
                .iter()
                .filter(|(_, seen)| seen.wanted && seen.healthy)
                .map(|(id, _)| id.clone())
                .collect();
            let nobody = good.iter().all(|id| out.get(id).is_some_and(|until| *until > scene.now));
            for decision in decisions {
                match decision {
                    Decision::Eject { id, duration, .. } => {
                        prop_assert!(good.contains(&id));
                        prop_assert!(duration >= secs(30) && duration <= secs(300));
                        prop_assert_eq!(out.insert(id, scene.now + duration), None);
                        let ejected = out.keys().filter(|id| scene.seen[*id].wanted).count();
                        prop_assert!(ejected as f64 <= limit, "{} of {}", ejected, wanted);
                    }
                    Decision::Return { id } => {
                        let until = out.remove(&id);
                        prop_assert!(until.is_some_and(|until| until <= scene.now || nobody));
                    }
                }
            }
            prop_assert!(good.is_empty() || good.iter().any(|id| !out.contains_key(id)));
            prop_assert_eq!(out.len(), scene.ejected());
            prop_assert!(scene.outliers.next_at() > scene.now);
        }
    }

    #[test]
    fn equal_rates_are_no_outliers(
        n in 5_usize..100,
        successes in 0_u32..1_000,
        failures in 0_u32..1_000,
    ) {
        let options = OutlierOptions { consecutive_failures: 0, ..Default::default() };
        let mut scene = Scene::new(n, options);
        for i in 0..n {
            scene.succeed(i, successes);
            scene.fail(i, failures);
        }
        prop_assert_eq!(scene.later(secs(10)), []);
    }

    #[test]
    fn no_option_makes_it_panic(
        consecutive_failures: u32,
        success_rate_factor: f64,
        success_rate_min_hosts: usize,
        success_rate_min_requests: u64,
        interval: Duration,
        base_ejection: Duration,
        max_ejection: Duration,
        max_ejected: f64,
        steps in vec(step(), 1..20),
    ) {
        let mut scene = Scene::new(6, OutlierOptions {
            consecutive_failures,
            success_rate_factor,
            success_rate_min_hosts,
            success_rate_min_requests,
            interval,
            base_ejection,
            max_ejection,
            max_ejected,
        });
        for step in steps {
            scene.succeed(step.endpoint % 6, step.successes);
            scene.fail(step.endpoint % 6, step.failures);
            scene.later(Duration::from_millis(step.millis));
            prop_assert!(scene.outliers.next_at() > scene.now);
            prop_assert!(scene.ejected() < 6);
        }
    }
}
