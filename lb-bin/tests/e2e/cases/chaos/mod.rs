//! The chaos suite: what containers, their engine and the balancer itself go
//! through while requests come at a constant rate, and what that costs. Each
//! scenario is a row of docs/reliability.md.
//!
//! `LB_E2E_LONG=true` (`make chaos`) has the long form: more rounds, longer waits.

mod balancer;
mod coming;
mod engine;
mod failing;
mod leaving;
mod posts;
mod reuse;
mod rolling;
mod soak;

use crate::{
    Case,
    docker::{App, Container},
    lb::Lb,
    load::{Load, Plan},
    scope::Scope,
};

pub(super) const THEMES: [&[Case]; 9] = [
    coming::CASES,
    leaving::CASES,
    rolling::CASES,
    failing::CASES,
    posts::CASES,
    reuse::CASES,
    engine::CASES,
    balancer::CASES,
    soak::CASES,
];

/// How often something is done: in the short form, and in the long one.
fn rounds(short: usize, long: usize) -> usize {
    if crate::long() { long } else { short }
}

/// How a row tells of them.
fn times(rounds: usize) -> String {
    if rounds == 1 { String::new() } else { format!("{rounds} times") }
}

/// How an app takes SIGTERM.
#[derive(Clone, Copy)]
enum OnTerm {
    Exits,
    Drains,
    Ignores,
}

impl OnTerm {
    const ALL: [Self; 3] = [Self::Exits, Self::Drains, Self::Ignores];

    fn told(self) -> &'static str {
        match self {
            Self::Exits => "app exits at once",
            Self::Drains => "app drains",
            Self::Ignores => "app ignores SIGTERM",
        }
    }

    /// An app that takes it so. The engine's patience is short, so that one that
    /// ignores it is killed soon.
    fn app<'s>(self, scope: &'s Scope, name: &str) -> App<'s> {
        let how = match self {
            Self::Exits => "exit",
            Self::Drains => "drain",
            Self::Ignores => "ignore",
        };
        scope.app(name).env("APP_ON_TERM", how).option("--stop-timeout=1")
    }
}

/// Replicas of one app behind a balancer, under load.
struct Scene {
    host: String,
    replicas: Vec<Container>,
    lb: Lb,
    load: Load,
}

impl Scene {
    fn new(scope: &Scope, names: &[&str]) -> Self {
        Self::with(scope, names, |plan| plan)
    }

    /// The same under another load.
    fn with(scope: &Scope, names: &[&str], change: impl FnOnce(Plan) -> Plan) -> Self {
        let host = scope.host("app");
        let replicas: Vec<_> =
            names.iter().map(|name| scope.app(name).hosts(&["app"]).start()).collect();
        let lb = Lb::start();
        lb.ready(&host, names.len());
        let load = change(Plan::new(lb.address, &host)).start();
        load.go_on(50);
        Self { host, replicas, lb, load }
    }
}
