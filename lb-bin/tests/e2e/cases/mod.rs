//! The cases, by theme.

mod bad_input;
mod change;
mod compose;
mod discovery;
pub(crate) mod engine_restart;
mod health;
mod observe;
mod reuse;
mod stop;

use crate::{Case, Lack};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let themes: [&'static [Case]; 9] = [
        discovery::CASES,
        health::CASES,
        change::CASES,
        reuse::CASES,
        compose::CASES,
        engine_restart::CASES,
        bad_input::CASES,
        observe::CASES,
        stop::CASES,
    ];
    themes.into_iter().flatten()
}

fn nothing() -> Result<(), Lack> {
    Ok(())
}

/// Lists functions as cases of their names: `a, b if needs::root`.
macro_rules! cases {
    ($($case:ident $(if $needs:expr)?),* $(,)?) => {
        pub(super) const CASES: &[$crate::Case] = &[$($crate::Case {
            name: stringify!($case),
            needs: $crate::cases::cases!(@needs $($needs)?),
            run: $case,
        }),*];
    };
    (@needs $needs:expr) => { $needs };
    (@needs) => { $crate::cases::nothing };
}
use cases;
