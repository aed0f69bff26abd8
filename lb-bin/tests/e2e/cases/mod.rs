//! The cases, by theme.

mod bad_input;
mod chaos;
mod compose;
mod discovery;
mod explain;
mod health;
mod https;
mod observe;
mod page;
mod stop;
mod traces;

use crate::{Case, Lack};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let themes: [&'static [Case]; 9] = [
        discovery::CASES,
        explain::CASES,
        health::CASES,
        https::CASES,
        compose::CASES,
        bad_input::CASES,
        observe::CASES,
        stop::CASES,
        traces::CASES,
    ];
    themes.into_iter().chain(page::THEMES).chain(chaos::THEMES).flatten()
}

fn nothing() -> Result<(), Lack> {
    Ok(())
}

/// Lists functions as cases of their names: `a, b if needs::root`. Those of the
/// chaos suite (`chaos: a`) have it before their names, and some an engine of
/// their own (`chaos, own engine: a`).
macro_rules! cases {
    (chaos: $($case:ident $(if $needs:expr)?),* $(,)?) => {
        $crate::cases::cases!(@list "chaos::", false, $($case $(if $needs)?),*);
    };
    (chaos, own engine: $($case:ident),* $(,)?) => {
        $crate::cases::cases!(@list "chaos::", true, $($case if $crate::engine::needs),*);
    };
    ($($case:ident $(if $needs:expr)?),* $(,)?) => {
        $crate::cases::cases!(@list "", false, $($case $(if $needs)?),*);
    };
    (@list $before:literal, $own:literal, $($case:ident $(if $needs:expr)?),*) => {
        pub(super) const CASES: &[$crate::Case] = &[$($crate::Case {
            name: concat!($before, stringify!($case)),
            own_engine: $own,
            needs: $crate::cases::cases!(@needs $($needs)?),
            run: $case,
        }),*];
    };
    (@needs $needs:expr) => { $needs };
    (@needs) => { $crate::cases::nothing };
}
use cases;
