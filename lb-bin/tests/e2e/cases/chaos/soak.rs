//! Random churn for as long as one likes (`make soak MINUTES=30`).

use std::{
    env, fs,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use crate::{
    Lack,
    docker::Container,
    lb::Lb,
    load::Plan,
    scope::Scope,
    table::{self, Sample},
};

super::super::cases! { chaos: soak if asked }

/// How long, in minutes, and what the dice begin with.
const MINUTES: &str = "LB_E2E_SOAK_MINUTES";
const SEED: &str = "LB_E2E_SEED";

/// Replicas at most.
const MOST: usize = 6;

fn minutes() -> Option<u32> {
    let minutes = number(MINUTES)?;
    assert!(minutes > 0, "{MINUTES}=0: write one at least");
    Some(minutes)
}

/// What the environment says, if it says anything.
fn number<N: FromStr>(variable: &str) -> Option<N> {
    let value = env::var(variable).ok()?;
    let number = value.parse().ok();
    assert!(number.is_some(), "{variable}={value}: write a whole number");
    number
}

fn asked() -> Result<(), Lack> {
    match minutes() {
        Some(_) => Ok(()),
        None => Err(Lack { what: format!("{MINUTES} doesn't say how long"), fatal_in_ci: false }),
    }
}

fn soak(scope: &Scope) {
    let time = Duration::from_secs(60) * minutes().unwrap();
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    println!("  {SEED}={seed}");

    let host = scope.host("app");
    let lb = Lb::start();
    let mut crowd = Crowd { scope, dice: fastrand::Rng::with_seed(seed), all: Vec::new(), next: 0 };
    (0..3).for_each(|_| crowd.start());
    lb.ready(&host, 3);
    let load = Plan::new(lb.address, &host).limit(time + Duration::from_secs(300)).start();

    let began = Instant::now();
    // Twenty at least; one a minute, if it is long.
    let every = (time / 20).min(Duration::from_secs(60));
    let mut samples = Vec::new();
    let mut changes = 0;
    while began.elapsed() < time {
        if began.elapsed() >= every * u32::try_from(samples.len()).unwrap() {
            let report = load.so_far();
            let (memory, descriptors) = used(lb.process());
            let sample = Sample {
                at: began.elapsed(),
                changes,
                sent: report.sent,
                failed: report.failed(),
                slow: report.slow,
                memory,
                descriptors,
            };
            println!("  {sample:?}");
            samples.push(sample);
        }
        let change = crowd.change();
        changes += 1;
        if load.so_far().failed() > 0 {
            println!("  failed after {changes} changes, the last of which was {change}");
        }
        load.go_on(crowd.dice.u64(20..400));
    }
    crowd.recover();
    lb.ready(&host, crowd.all.len());
    load.go_on(400);
    let report = load.stop(&format!("{changes} changes, seed {seed}"));
    table::soak(samples.clone());
    report.tabulate("soak", format!("{changes} random changes, seed {seed}")).none_failed();

    // What it uses at the end, beside what it used once it had seen everything: at
    // the least, as what comes and goes with the load isn't lost.
    let [early, late] =
        [&samples[samples.len() / 4..samples.len() / 2], &samples[samples.len() * 3 / 4..]].map(
            |part| {
                let least = |of: fn(&Sample) -> u64| part.iter().map(of).min().unwrap_or_default();
                (least(|sample| sample.memory), least(|sample| sample.descriptors))
            },
        );
    assert!(late.0 <= early.0 + early.0 / 10 + 1_000_000, "memory: {early:?}, then {late:?}");
    assert!(late.1 <= early.1 + 10, "descriptors: {early:?}, then {late:?}");
}

/// Bytes of memory and open descriptors of a process.
fn used(process: u32) -> (u64, u64) {
    let folder = Path::new("/proc").join(process.to_string());
    let status = fs::read_to_string(folder.join("status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(folder.join("fd")).unwrap().count();
    (kilobytes * 1024, descriptors.try_into().unwrap())
}

/// The replicas, and what became of them.
struct Crowd<'s> {
    scope: &'s Scope,
    dice: fastrand::Rng,
    all: Vec<(Container, State)>,
    next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Well,
    Paused,
    Hung,
    Stopped,
}

impl Crowd<'_> {
    /// Does one thing to one of them, or to all; tells what. One at least is well
    /// or about to be, and one at most accepts and doesn't answer: what has gone out
    /// to several such in a row, a retry can't save.
    fn change(&mut self) -> &'static str {
        let well = self.all.iter().filter(|(_, state)| *state == State::Well).count();
        let silent = |state| matches!(state, State::Paused | State::Hung);
        let silent = self.all.iter().any(|(_, state)| silent(*state));
        let one = self.dice.usize(..self.all.len());
        let state = self.all[one].1;
        match self.dice.u8(..10) {
            _ if state != State::Well => {
                self.heal(one);
                "to be well again"
            }
            0 | 1 if self.all.len() < MOST => {
                self.start();
                "a new one"
            }
            2 if well == self.all.len() => {
                let ids = self.all.iter().map(|(container, _)| container.id.clone());
                crate::docker::docker(["restart".to_owned()].into_iter().chain(ids));
                "all restart"
            }
            3 => {
                self.all[one].0.docker(&["restart"]);
                "restart"
            }
            _ if well < 2 => {
                self.start();
                "a new one, as few are well"
            }
            4 | 5 => {
                let (container, _) = self.all.swap_remove(one);
                container.docker(&["stop"]);
                container.remove();
                "stop and remove"
            }
            6 => {
                self.set(one, &["kill", "--signal=KILL"], State::Stopped);
                "kill -9"
            }
            7 if !silent => {
                self.set(one, &["pause"], State::Paused);
                "pause"
            }
            8 => {
                self.set(one, &["stop"], State::Stopped);
                "stop"
            }
            9 if !silent => {
                self.all[one].0.control_soon("PUT", "/hang");
                self.all[one].1 = State::Hung;
                "hang"
            }
            _ => "nothing",
        }
    }

    fn start(&mut self) {
        let how = ["exit", "drain", "ignore"][self.dice.usize(..3)];
        let delay = ["0s", "0s", "700ms"][self.dice.usize(..3)];
        let app = self.scope.app(&format!("app{}", self.next)).hosts(&["app"]);
        let app = app.env("APP_ON_TERM", how).env("APP_START_DELAY", delay);
        let container = app.option("--stop-timeout=2").start();
        self.all.push((container, State::Well));
        self.next += 1;
    }

    fn set(&mut self, one: usize, command: &[&str], state: State) {
        self.all[one].0.docker(command);
        self.all[one].1 = state;
    }

    fn heal(&mut self, one: usize) {
        let container = &self.all[one].0;
        match self.all[one].1 {
            State::Well => {}
            State::Paused => drop(container.docker(&["unpause"])),
            State::Stopped => drop(container.docker(&["start"])),
            State::Hung => drop(container.control_soon("PUT", "/resume")),
        }
        self.all[one].1 = State::Well;
    }

    fn recover(&mut self) {
        (0..self.all.len()).for_each(|one| self.heal(one));
    }
}
