//! The balancer against a real Docker engine.
//!
//! Every case gets a [`Scope`] of its own: containers, networks and hosts that
//! carry its prefix and are gone when it ends. Most run the balancer as a process
//! on this machine, which reaches containers by their addresses; the Compose
//! cases run it as a container.
//!
//! Without an engine every case is ignored. With `CI=true` a missing engine is a
//! failure, so that a run that tested nothing doesn't pass; in the long form
//! whatever is missing is.
//!
//! The images come from `APP_IMAGE` and `LB_IMAGE`; where these are unset, they
//! are built from this workspace.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod browser;
mod cases;
mod compose;
mod docker;
mod engine;
mod http;
mod images;
mod lb;
mod load;
mod peers;
#[allow(dead_code, reason = "tests/life has other questions")]
mod prometheus;
mod reference;
#[allow(dead_code, reason = "who listens is the balancer")]
#[path = "../life/reserved.rs"]
mod reserved;
mod scope;
mod table;
mod wait;

use std::{
    env,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::scope::Scope;

/// One case: what it is called, what it needs of the machine, what it does.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// It stops or hangs the engine, and so has one of its own.
    pub(crate) own_engine: bool,
    pub(crate) needs: fn() -> Result<(), Lack>,
    pub(crate) run: fn(&Scope),
}

/// What the machine lacks for a case.
pub(crate) struct Lack {
    pub(crate) what: String,
    /// Whether a machine for CI has to have it.
    pub(crate) fatal_in_ci: bool,
}

fn main() -> ExitCode {
    if engine::is_inside() {
        engine::inside();
        return ExitCode::SUCCESS;
    }
    let mut args = Arguments::from_args();
    // The cases measure time and share one engine.
    args.test_threads.get_or_insert(1);

    let engine = if args.list { Ok(()) } else { docker::usable() };
    let conclusion = match engine {
        Err(why) if in_ci() || long() => {
            let fail = move || Err(Failed::from(format!("no Docker engine: {why}")));
            libtest_mimic::run(&args, vec![Trial::test("a_docker_engine_answers", fail)])
        }
        Err(why) => {
            eprintln!("ignored, as there is no Docker engine: {why}");
            let ignored = |case: &Case| Trial::test(case.name, || Ok(())).with_ignored_flag(true);
            libtest_mimic::run(&args, cases::all().map(ignored).collect())
        }
        Ok(()) => {
            if !args.list {
                scope::sweep();
            }
            libtest_mimic::run(&args, cases::all().map(trial).collect())
        }
    };
    images::remove();
    let written = table::tell();
    if written || conclusion.has_failed() { conclusion.exit_code() } else { ExitCode::FAILURE }
}

fn trial(case: &'static Case) -> Trial {
    Trial::ignorable_test(case.name, || {
        if let Err(lack) = (case.needs)() {
            return if long() || in_ci() && lack.fatal_in_ci {
                Err(lack.what.into())
            } else {
                Ok(Completion::ignored_with(lack.what))
            };
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let scope = Scope::new(NEXT.fetch_add(1, Ordering::Relaxed));
        if case.own_engine {
            engine::go_inside(case);
        } else {
            (case.run)(&scope);
        }
        table::passed(case.name);
        Ok(Completion::Completed)
    })
}

/// Whether the long form of the chaos suite is asked for.
pub(crate) fn long() -> bool {
    is_true("LB_E2E_LONG")
}

fn in_ci() -> bool {
    is_true("CI")
}

fn is_true(variable: &str) -> bool {
    env::var(variable).is_ok_and(|value| value == "true")
}
