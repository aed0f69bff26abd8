use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;

const DAY: u64 = 86_400;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn ours(from: u64, to: u64) -> Found {
    Found::Ours(Certificate { not_before: at(from), not_after: at(to), current: true })
}

fn order(host: &str, failures: u32) -> Option<Action> {
    Some(Action::Order { host: host.into(), failures })
}

fn failure(why: &str) -> Failure {
    Failure { why: why.into(), ..Failure::default() }
}

fn names(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}

/// With an account, and these hosts, which have nothing.
fn plan(hosts: &[&str]) -> Plan {
    let mut plan = Plan::new(true);
    plan.account = Account::Open { url: "https://ca.test/1".into() };
    plan.never_ask();
    plan.set_hosts(&names(hosts), at(0));
    for host in hosts {
        plan.found(host, Found::Nothing, at(0));
    }
    plan
}

fn state(plan: &Plan, host: &str) -> State {
    plan.report().into_iter().find(|of| of.host == host).unwrap().state
}

fn next_try(plan: &Plan, host: &str) -> SystemTime {
    match state(plan, host) {
        State::Failed { next_try, .. } => next_try,
        state => panic!("{state:?}"),
    }
}

#[test]
fn an_account_is_opened_once_somebody_needs_it() {
    let mut plan = Plan::new(true);
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, None));
    plan.set_hosts(&names(&["a.com", "10.0.0.1"]), at(0));
    assert_eq!(plan.next(at(0)), None, "what there is isn't known yet");
    assert_eq!(plan.wanted(), ["a.com"]);
    plan.found("a.com", Found::Nothing, at(0));
    assert_eq!(plan.wakes(), Some(at(0)));
    assert_eq!(plan.next(at(0)), Some(Action::OpenAccount));
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, None));

    plan.opened(Err(failure("down")), at(0));
    let Account::Failed { next_try, why } = plan.account().clone() else { panic!() };
    assert_eq!(why, "down");
    assert!((at(60)..=at(90)).contains(&next_try));
    assert_eq!((plan.next(at(59)), plan.wakes()), (None, Some(next_try)));
    assert_eq!(plan.next(next_try), Some(Action::OpenAccount));
    plan.opened(Ok("https://ca.test/1".into()), next_try);
    assert_eq!(plan.next(next_try), order("a.com", 0));
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_lifetime_is_left() {
    let mut plan = plan(&["a.com"]);
    assert_eq!(state(&plan, "a.com"), State::Waiting);
    assert_eq!(plan.next(at(0)), order("a.com", 0));
    assert_eq!(state(&plan, "a.com"), State::Ordering);
    assert_eq!(plan.next(at(0)), None, "one order for a host");
    plan.ordered("a.com", Ok(ours(0, 90 * DAY)), at(10));
    assert_eq!(state(&plan, "a.com"), State::Valid);
    let validity = plan.report()[0].certificate.unwrap();
    assert_eq!((validity.not_after, validity.renews_at), (at(90 * DAY), at(60 * DAY)));
    assert_eq!(plan.next(at(60 * DAY - 1)), None);
    assert_eq!(plan.wakes(), Some(at(60 * DAY)));
    assert_eq!(plan.next(at(60 * DAY)), order("a.com", 0));
}

#[test]
fn who_fails_waits_longer_each_time_and_holds_up_nobody() {
    let mut plan = plan(&["a.com", "b.com"]);
    let mut now = at(0);
    for (failures, shortest) in
        [(0, 60), (1, 240), (2, 960), (3, 3840), (4, 15_360), (5, 21_600), (6, 21_600)]
    {
        assert_eq!(plan.next(now), order("a.com", failures));
        if failures == 0 {
            assert_eq!(plan.next(now), order("b.com", 0));
            plan.ordered("b.com", Ok(ours(0, 900 * DAY)), now);
        }
        plan.ordered("a.com", Err(failure("no")), now);
        let next = next_try(&plan, "a.com");
        let pause = next.duration_since(now).unwrap();
        let shortest = Duration::from_secs(shortest);
        assert!(shortest <= pause && pause <= shortest * 3 / 2, "{failures}: {pause:?}");
        assert_eq!(plan.next(next - Duration::from_secs(1)), None);
        now = next;
    }
    assert_eq!(plan.next(now), order("a.com", 7));
    plan.ordered("a.com", Ok(ours(0, 900 * DAY)), now);
    assert_eq!(state(&plan, "a.com"), State::Valid);
    plan.found("a.com", Found::Nothing, now);
    assert_eq!(plan.next(now), order("a.com", 0), "it counts from the last success");
}

#[test]
fn a_certificate_stays_known_while_its_renewal_fails() {
    let mut plan = plan(&["a.com"]);
    plan.found("a.com", ours(0, 90 * DAY), at(0));
    assert_eq!(plan.next(at(70 * DAY)), order("a.com", 0));
    plan.ordered("a.com", Err(failure("no")), at(70 * DAY));
    let report = plan.report().remove(0);
    assert!(matches!(report.state, State::Failed { failures: 1, .. }));
    assert_eq!(report.certificate.unwrap().not_after, at(90 * DAY));
}

#[test]
fn the_server_may_ask_for_more_time_but_not_for_ever() {
    for (wish, expected) in [(3600, 3600), (90 * DAY, 7 * DAY)] {
        let mut plan = plan(&["a.com"]);
        let _ = plan.next(at(0));
        let retry_after = Some(at(wish));
        plan.ordered("a.com", Err(Failure { retry_after, ..failure("busy") }), at(0));
        assert_eq!(next_try(&plan, "a.com"), at(expected));
    }
    let mut plan = plan(&["a.com"]);
    let _ = plan.next(at(0));
    let retry_after = Some(at(1));
    plan.ordered("a.com", Err(Failure { retry_after, ..failure("busy") }), at(0));
    assert!(next_try(&plan, "a.com") >= at(60), "nor for less");
}

#[test]
fn few_orders_are_on_their_way_at_once() {
    let hosts: Vec<_> = (0..10).map(|n| format!("h{n}.com")).collect();
    let mut plan = plan(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    for host in &hosts[..AT_ONCE] {
        assert_eq!(plan.next(at(0)), order(host, 0));
    }
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, None));
    plan.ordered("h1.com", Err(failure("no")), at(0));
    assert_eq!(plan.next(at(100)), order("h4.com", 0), "who waits longest, not who failed");
}

#[test]
fn what_is_not_ours_is_left_alone_until_it_goes() {
    let mut plan = plan(&["a.com", "b.com"]);
    plan.found("a.com", Found::Foreign("a.com.crt isn't ours".into()), at(0));
    plan.found("b.com", Found::Unreadable("b.com.crt: denied".into()), at(0));
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, None));
    assert_eq!(state(&plan, "a.com"), State::LeftAlone("a.com.crt isn't ours".into()));
    assert_eq!(state(&plan, "b.com"), State::Unreadable("b.com.crt: denied".into()));
    assert!(plan.is_unreadable());
    plan.found("a.com", Found::Nothing, at(5));
    assert_eq!(plan.next(at(5)), order("a.com", 0));
}

#[test]
fn hosts_that_can_have_none_are_refused() {
    let mut plan = plan(&["*.a.com", "a.local"]);
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, None));
    for host in ["*.a.com", "a.local"] {
        assert!(matches!(state(&plan, host), State::Refused(_)));
    }
}

#[test]
fn who_has_left_is_not_renewed_and_comes_back_with_what_it_had() {
    let mut plan = plan(&["a.com"]);
    plan.found("a.com", ours(0, 90 * DAY), at(0));
    plan.set_hosts(&[], at(1));
    assert_eq!((plan.next(at(80 * DAY)), plan.wakes()), (None, None));
    plan.set_hosts(&names(&["A.com."]), at(10));
    assert_eq!(plan.next(at(10)), None);
    plan.found("a.com", ours(0, 90 * DAY), at(10));
    assert_eq!(plan.wakes(), Some(at(60 * DAY)));
}

#[test]
fn who_comes_and_goes_is_not_ordered_for_any_sooner() {
    let mut plan = plan(&["a.com"]);
    let _ = plan.next(at(0));
    plan.set_hosts(&[], at(1));
    plan.set_hosts(&names(&["a.com"]), at(2));
    plan.found("a.com", Found::Nothing, at(2));
    assert_eq!(plan.next(at(2)), None, "that order is still on its way");
    plan.ordered("a.com", Err(failure("no")), at(3));
    for n in 4..50 {
        plan.set_hosts(&[], at(n));
        plan.set_hosts(&names(&["a.com"]), at(n));
        plan.found("a.com", Found::Nothing, at(n));
        assert_eq!(plan.next(at(n)), None);
    }
    assert_eq!(plan.next(at(100)), order("a.com", 1));
    plan.set_hosts(&[], at(100));
    plan.ordered("a.com", Err(failure("no")), at(100));
    plan.set_hosts(&[], at(DAY));
    assert!(plan.left.is_empty(), "nobody is remembered for ever");
}

#[test]
fn what_is_issued_and_due_at_once_is_a_failure() {
    let mut plan = plan(&["a.com"]);
    for failures in 1..=2 {
        let now = at(failures * DAY);
        assert!(plan.next(now).is_some());
        plan.ordered("a.com", Ok(ours(0, 1)), now);
        assert_eq!(plan.next(now), None);
        let State::Failed { why, failures: counted, .. } = state(&plan, "a.com") else { panic!() };
        assert!(why.contains("clock") && u64::from(counted) == failures, "{why} {counted}");
    }
}

#[test]
fn a_clock_that_was_ahead_delays_nothing_for_long() {
    let mut plan = plan(&["a.com"]);
    let ahead = 4000 * DAY;
    assert_eq!(plan.next(at(ahead)), order("a.com", 0));
    plan.ordered("a.com", Err(failure("the server's certificate has expired")), at(ahead));
    plan.set_hosts(&names(&["a.com", "b.com"]), at(ahead));
    plan.found("b.com", Found::Nothing, at(ahead));
    assert_eq!(plan.next(at(DAY)), order("b.com", 0));
    assert_eq!(plan.next(at(DAY)), None);
    assert_eq!(plan.wakes(), Some(at(DAY + 60)));
    assert_eq!(plan.next(at(DAY + 60)), order("a.com", 1));

    plan.account = Account::None;
    plan.set_hosts(&names(&["c.com"]), at(ahead));
    plan.found("c.com", Found::Nothing, at(ahead));
    assert_eq!(plan.next(at(ahead)), Some(Action::OpenAccount));
    plan.opened(Err(failure("no")), at(ahead));
    assert_eq!(plan.next(at(2 * DAY)), None);
    assert_eq!(plan.next(at(2 * DAY + 60)), Some(Action::OpenAccount));
}

#[test]
fn another_server_issues_it_anew() {
    let mut plan = plan(&["a.com"]);
    let (not_before, not_after) = (at(0), at(90 * DAY));
    let other = Found::Ours(Certificate { not_before, not_after, current: false });
    plan.found("a.com", other, at(0));
    assert_eq!(state(&plan, "a.com"), State::Waiting);
    assert_eq!(plan.next(at(0)), order("a.com", 0));
}

#[test]
fn the_account_is_opened_to_ask_when_to_renew() {
    let hosts: Vec<_> = (0..10).map(|n| format!("h{n}.com")).collect();
    let mut plan = Plan::new(true);
    plan.set_hosts(&hosts, at(0));
    for host in &hosts {
        plan.found(host, ours(0, 90 * DAY), at(0));
    }
    assert_eq!(plan.next(at(0)), Some(Action::OpenAccount));
    plan.opened(Ok(String::new()), at(0));
    for host in &hosts[..AT_ONCE] {
        assert_eq!(plan.next(at(0)), Some(Action::AskRenewal { host: host.clone() }));
    }
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, Some(at(60 * DAY))));
}

#[test]
fn a_lost_account_is_opened_again() {
    let mut plan = plan(&["a.com", "b.com"]);
    assert_eq!(plan.next(at(0)), order("a.com", 0));
    assert_eq!(plan.next(at(0)), order("b.com", 0));
    plan.set_hosts(&["a.com", "b.com", "c.com"].map(String::from), at(0));
    plan.found("c.com", Found::Nothing, at(0));
    let lost = Failure { account_lost: true, ..failure("who are you?") };
    plan.ordered("a.com", Err(lost.clone()), at(0));
    assert_eq!(plan.next(at(0)), Some(Action::OpenAccount));
    plan.ordered("b.com", Err(lost), at(0));
    assert_eq!(plan.next(at(0)), None, "it is being opened already");
}

#[test]
fn the_server_may_want_a_certificate_to_be_renewed_earlier() {
    let mut plan = plan(&["a.com"]);
    plan.is_asked = true;
    plan.found("a.com", ours(0, 90 * DAY), at(0));
    let ask = || Some(Action::AskRenewal { host: "a.com".into() });
    assert_eq!(plan.next(at(0)), ask());
    assert_eq!((plan.next(at(0)), plan.wakes()), (None, Some(at(60 * DAY))));
    let window = |from, to| {
        let ask_after = Duration::from_secs(3600);
        Some(Window { start: at(from * DAY), end: at(to * DAY), ask_after })
    };
    plan.asked("a.com", window(20, 30), at(0));
    let renews = |plan: &Plan| plan.report()[0].certificate.unwrap().renews_at;
    let chosen = renews(&plan);
    assert!((at(20 * DAY)..=at(30 * DAY)).contains(&chosen));
    assert_eq!(plan.wakes(), Some(at(3600)));
    assert_eq!(plan.next(at(3600)), ask());
    plan.asked("a.com", window(20, 30), at(3600));
    assert_eq!(renews(&plan), chosen, "the same window, the same choice");
    assert_eq!(plan.next(at(7200)), ask());
    plan.asked("a.com", None, at(7200));
    assert_eq!(renews(&plan), chosen, "no answer changes nothing");
    plan.asked("a.com", window(0, 0), at(7200));
    assert_eq!(plan.next(at(7200)), order("a.com", 0), "at once, as when it is revoked");
    plan.ordered("a.com", Ok(ours(1, 90 * DAY)), at(7200));
    assert!(renews(&plan) > at(59 * DAY), "the wish was for the one before");
    assert_eq!(plan.next(at(7200)), ask());
    plan.asked("a.com", window(80, 85), at(7200));
    assert!(renews(&plan) < at(61 * DAY), "not later than usual");
    plan.never_ask();
    assert_eq!(plan.next(at(DAY)), None);
}

proptest! {
    /// Whatever becomes of orders, and whoever comes and goes: never two for a
    /// host at once, never too many, and after a failure never too soon.
    #[test]
    fn orders_are_few(steps in prop::collection::vec((0_u64..40, 0_usize..6, 0_u8..4), 1..200)) {
        let hosts: Vec<_> = (0..6).map(|n| format!("h{n}.com")).collect();
        let mut plan = Plan::new(true);
        plan.account = Account::Open { url: String::new() };
        let mut there: BTreeSet<String> = hosts.iter().cloned().collect();
        let mut ordering = BTreeSet::new();
        let mut failed = BTreeMap::new();
        let mut now = at(0);
        for (seconds, n, step) in steps {
            now += Duration::from_secs(seconds);
            let host = &hosts[n];
            match step {
                0 if !there.remove(host) => drop(there.insert(host.clone())),
                1 if ordering.remove(host) => {
                    failed.insert(host.clone(), now);
                    plan.ordered(host, Err(failure("no")), now);
                }
                2 if ordering.remove(host) => {
                    failed.remove(host);
                    plan.ordered(host, Ok(ours(0, 90 * DAY)), now);
                }
                _ => {}
            }
            plan.set_hosts(&there, now);
            for host in plan.wanted() {
                plan.found(&host, Found::Nothing, now);
            }
            while let Some(action) = plan.next(now) {
                let Action::Order { host, .. } = action else { continue };
                prop_assert!(there.contains(&host));
                prop_assert!(ordering.insert(host.clone()), "twice");
                prop_assert!(ordering.len() <= AT_ONCE);
                if let Some(at) = failed.get(&host) {
                    prop_assert!(now >= *at + SHORTEST_PAUSE);
                }
            }
        }
    }
}
