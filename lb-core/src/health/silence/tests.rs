use proptest::prelude::*;

use super::*;

/// A pool whose endpoints are given so many requests in each step of 25 ms, and
/// answer all that they have unless they hang.
struct Pool {
    silence: Silence,
    now: Instant,
    heard: Vec<Heard>,
    hangs: Vec<bool>,
    slowest: Duration,
}

const STEP: Duration = Duration::from_millis(25);

impl Pool {
    /// One whose members have all answered before.
    fn new(members: usize) -> Self {
        let mut pool = Self::cold(members);
        assert_eq!(pool.step(1), []);
        pool
    }

    fn cold(members: usize) -> Self {
        let heard = vec![Heard { usable: true, ..Heard::default() }; members];
        let mut silence = Silence::new(SilenceOptions::default());
        heard.iter().for_each(|&heard| silence.insert(heard));
        Self {
            silence,
            now: Instant::now(),
            heard,
            hangs: vec![false; members],
            slowest: Duration::from_millis(1),
        }
    }

    /// One step, in which each gets `requests`.
    fn step(&mut self, requests: u64) -> Vec<(usize, Verdict)> {
        self.step_each(&vec![requests; self.heard.len()])
    }

    fn step_each(&mut self, requests: &[u64]) -> Vec<(usize, Verdict)> {
        self.now += STEP;
        for ((heard, hangs), requests) in self.heard.iter_mut().zip(&self.hangs).zip(requests) {
            heard.sent += requests;
            heard.waiting += usize::try_from(*requests).unwrap();
            if !hangs {
                heard.answers += heard.waiting as u64;
                heard.waiting = 0;
            }
        }
        self.silence.judge(self.now, self.slowest, &self.heard)
    }

    /// Steps until there is a verdict on member 1, and how many it took.
    fn until(&mut self, requests: u64) -> (usize, Verdict) {
        for n in 1..10_000 {
            if let Some((at, verdict)) = self.step(requests).pop() {
                assert_eq!(at, 1, "{verdict}");
                return (n, verdict);
            }
        }
        panic!("no verdict");
    }
}

fn ejected(verdict: Verdict) -> Option<Duration> {
    match verdict {
        Verdict::Eject { duration, .. } => Some(duration),
        _ => None,
    }
}

#[test]
fn one_that_hangs_among_three_is_found_in_a_moment() {
    let mut pool = Pool::new(3);
    pool.hangs[1] = true;
    let (steps, verdict) = pool.until(3);
    assert_eq!(ejected(verdict), Some(Duration::from_secs(1)), "{verdict}");
    // Seen waiting at the first step, and silent for 100 ms at the fifth.
    assert_eq!(steps, 5);
}

#[test]
fn a_burst_that_gets_stuck_between_two_judgements_is_found() {
    let mut pool = Pool::new(3);
    pool.hangs[1] = true;
    assert_eq!(pool.step(5), [], "all that there is to hear of the others");
    let (steps, verdict) = pool.until(0);
    assert_eq!((steps, ejected(verdict).is_some()), (4, true), "{verdict}");
}

#[test]
fn a_slow_service_is_given_its_time() {
    let mut pool = Pool::new(3);
    pool.slowest = Duration::from_secs(1);
    pool.step(3);
    pool.step(3);
    pool.hangs[1] = true;
    let (steps, _) = pool.until(3);
    assert_eq!(steps, 1 + 2_000 / 25);
}

#[test]
fn one_slow_answer_among_many_makes_nobody_patient() {
    let mut pool = Pool::new(3);
    for _ in 0..40 {
        pool.step(3);
    }
    pool.slowest = Duration::from_secs(3);
    pool.step(3);
    pool.slowest = Duration::from_millis(1);
    pool.hangs[1] = true;
    assert_eq!(pool.until(3).0, 5);
}

#[test]
fn slow_answers_are_forgotten_when_there_are_no_more() {
    let mut pool = Pool::new(3);
    pool.slowest = Duration::from_secs(1);
    for _ in 0..REMEMBERED {
        pool.step(3);
    }
    pool.slowest = Duration::from_millis(1);
    for _ in 0..REMEMBERED {
        pool.step(3);
    }
    pool.hangs[1] = true;
    assert_eq!(pool.until(3).0, 5);
}

#[test]
fn two_that_wait_may_both_be_slow_and_three_are_not() {
    for (waits, hangs) in [(2, false), (3, true)] {
        let mut pool = Pool::new(3);
        pool.hangs[1] = true;
        pool.heard[1].waiting = waits;
        pool.heard[1].sent += 50;
        let mut verdicts = Vec::new();
        for _ in 0..100 {
            verdicts.extend(pool.step_each(&[20, 0, 20]));
        }
        assert_eq!(!verdicts.is_empty(), hangs, "{waits} wait: {verdicts:?}");
    }
}

#[test]
fn when_nobody_else_is_asked_nothing_is_proven_and_others_are_sounded_out() {
    let mut pool = Pool::new(3);
    pool.hangs[1] = true;
    pool.step_each(&[0, 9, 0]);
    for _ in 1..1_000 / 25 {
        assert_eq!(pool.step(0), []);
    }
    // One at a time goes elsewhere. While it waits there, too, no other does.
    assert_eq!(pool.step(0), [(1, Verdict::Sound)]);
    pool.heard[1].waiting -= 1;
    pool.hangs[0] = true;
    pool.step_each(&[1, 0, 0]);
    for _ in 0..100 {
        assert_eq!(pool.step(0), []);
    }
    pool.hangs[0] = false;
    let (mut sounded, mut requests) = (0, [0, 0, 0]);
    loop {
        let verdicts = pool.step_each(&requests);
        requests = [0, 0, 0];
        match verdicts[..] {
            [] => {}
            [(1, Verdict::Sound)] => {
                sounded += 1;
                pool.heard[1].waiting -= 1;
                requests = [1, 0, 4];
            }
            [(1, Verdict::Eject { .. })] => break,
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(sounded, 2, "others have given five each");
}

/// The others were heard too much of just before it got stuck with everything: that
/// it was sent less than they have answered proves nothing, and would never change.
#[test]
fn what_was_heard_before_everything_stood_still_does_not_count() {
    let mut pool = Pool::cold(2);
    pool.hangs[1] = true;
    pool.step_each(&[36, 16]);
    for _ in 1..=1_000 / 25 - 1 {
        assert_eq!(pool.step(0), []);
    }
    // Each that has gone elsewhere is followed by one here and one there.
    let (mut sounded, mut requests) = (0, [0, 0]);
    for _ in 0..100 {
        let verdicts = pool.step_each(&requests);
        requests = [0, 0];
        match verdicts[..] {
            [] => {}
            [(1, Verdict::Sound)] => {
                sounded += 1;
                pool.heard[1].waiting -= 1;
                requests = [2, 1];
            }
            [(1, Verdict::Eject { .. })] => {
                assert_eq!(sounded, 3, "the other has given five");
                return;
            }
            ref other => panic!("{other:?}"),
        }
    }
    panic!("it is still there");
}

/// A balancer that looks at load sends the quick requests elsewhere, while slow
/// ones keep this one busy.
#[test]
fn who_is_spared_because_it_is_busy_does_not_hang() {
    let mut pool = Pool::new(2);
    pool.hangs[1] = true;
    assert_eq!(pool.step_each(&[9, 6]), []);
    for _ in 0..100 {
        assert_eq!(pool.step_each(&[9, 0]), []);
    }
}

#[test]
fn a_cold_one_is_given_more_time() {
    let mut pool = Pool::cold(3);
    pool.hangs[1] = true;
    let (steps, verdict) = pool.until(3);
    assert_eq!((steps, ejected(verdict).is_some()), (1 + 1_000 / 25, true));
}

#[test]
fn when_all_hang_nobody_is_ejected() {
    let mut pool = Pool::new(4);
    pool.hangs = vec![true; 4];
    for _ in 0..1_000 {
        assert_eq!(pool.step(5), []);
    }
}

#[test]
fn ejections_double_and_so_does_the_time_that_a_trial_is_given() {
    let mut pool = Pool::new(3);
    pool.hangs[1] = true;
    let (_, verdict) = pool.until(5);
    let mut durations = vec![ejected(verdict).unwrap().as_secs()];
    let mut trials = Vec::new();
    for _ in 0..6 {
        // What it had has gone elsewhere.
        pool.heard[1].waiting = 0;
        while pool.step_each(&[5, 0, 5]) != [(1, Verdict::Try)] {}
        let mut steps = 0;
        pool.heard[1].waiting = 1;
        let verdict = loop {
            steps += 1;
            if let Some((_, verdict)) = pool.step_each(&[5, 0, 5]).pop() {
                break verdict;
            }
        };
        trials.push((steps - 1) * 25);
        durations.push(ejected(verdict).expect("it hangs").as_secs());
    }
    assert_eq!(durations, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(trials, [200, 400, 800, 1_600, 3_200, 6_400]);

    pool.hangs[1] = false;
    assert_eq!(pool.step(1), [(1, Verdict::Return)], "it answers what it had");
    assert!(!pool.silence.is_at_work());
}

#[test]
fn who_answers_on_trial_is_back() {
    let mut pool = Pool::new(2);
    pool.hangs[1] = true;
    pool.until(3);
    pool.heard[1].waiting = 0;
    pool.hangs[1] = false;
    assert_eq!(pool.until(0).1, Verdict::Try);
    assert_eq!(pool.step(0), [], "nothing has been tried");
    assert_eq!(pool.until(1), (1, Verdict::Return));
}

#[test]
fn who_is_not_tried_is_trusted_in_the_end() {
    let mut pool = Pool::new(2);
    pool.hangs[1] = true;
    pool.until(3);
    pool.heard[1].waiting = 0;
    assert_eq!(pool.until(0).1, Verdict::Try);
    let (steps, verdict) = pool.until(0);
    assert_eq!((steps, verdict), (5_000 / 25, Verdict::Return));
}

#[test]
fn when_the_others_leave_the_ejected_return() {
    let mut pool = Pool::new(2);
    pool.hangs[1] = true;
    let (_, verdict) = pool.until(3);
    assert!(ejected(verdict).is_some());
    pool.heard[0].usable = false;
    assert_eq!(pool.step(0), [(1, Verdict::Return)]);
    for _ in 0..100 {
        assert_eq!(pool.step(5), [], "there is nobody else");
    }
    pool.heard[0].usable = true;
    let (steps, verdict) = pool.until(0);
    assert_eq!((steps, ejected(verdict).is_some()), (1, true), "what waits for it may go there");
    pool.hangs[1] = false;
    assert_eq!(pool.step(0), [(1, Verdict::Return)]);
}

#[test]
fn one_is_stuck_that_has_been_silent_for_longer_than_answers_take() {
    let mut pool = Pool::new(2);
    pool.slowest = Duration::from_millis(100);
    pool.step(1);
    pool.step(1);
    pool.hangs[1] = true;
    let stuck = (0..20).position(|_| {
        pool.step_each(&[0, 1]);
        pool.silence.is_stuck(1, pool.now)
    });
    assert_eq!(stuck, Some(200 / 25));
    assert!(!pool.silence.is_stuck(0, pool.now));
    pool.hangs[1] = false;
    pool.step(0);
    assert!(!pool.silence.is_stuck(1, pool.now));
}

#[test]
fn the_last_takes_the_place_of_who_leaves() {
    let mut pool = Pool::new(3);
    pool.hangs[1] = true;
    pool.until(3);
    pool.silence.remove(0);
    pool.heard.swap_remove(0);
    pool.hangs.swap_remove(0);
    pool.hangs[1] = false;
    assert_eq!(pool.step(3), [(1, Verdict::Return)]);
    pool.silence.remove(1);
    pool.silence.remove(0);
    assert!(!pool.silence.is_at_work());
}

proptest! {
    /// Whatever happens, somebody who can be used is left, and half of them stay.
    #[test]
    fn somebody_is_always_left(
        steps in proptest::collection::vec(
            proptest::collection::vec((0_usize..9, 0_u64..9, 0_u64..9, any::<bool>()), 5),
            1..200,
        ),
        slowest in 0_u64..200,
    ) {
        let mut silence = Silence::new(SilenceOptions::default());
        let mut pool = [Heard::default(); 5];
        pool.iter().for_each(|&heard| silence.insert(heard));
        let mut out = std::collections::BTreeSet::new();
        let start = Instant::now();
        for (n, step) in (0..).zip(&steps) {
            for (heard, &(waiting, sent, answers, usable)) in pool.iter_mut().zip(step) {
                heard.sent += sent;
                heard.answers += answers;
                (heard.waiting, heard.usable) = (waiting, usable);
            }
            for (at, verdict) in silence.judge(start + STEP * n, Duration::from_millis(slowest), &pool) {
                match verdict {
                    Verdict::Eject { .. } => prop_assert!(out.insert(at)),
                    Verdict::Sound => {}
                    Verdict::Try => prop_assert!(out.remove(&at)),
                    Verdict::Return => { out.remove(&at); }
                }
            }
            prop_assert!(out.len() <= 2, "{out:?}");
            let usable = pool.iter().filter(|heard| heard.usable).count();
            let left = (0..).zip(&pool).filter(|(at, heard)| heard.usable && !out.contains(at));
            prop_assert!(usable == 0 || left.count() > 0, "{usable} usable, all of them ejected");
        }
    }
}
