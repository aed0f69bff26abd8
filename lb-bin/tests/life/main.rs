//! The balancer's own life: how it stops, reloads, is told things, and hands over
//! to another one. Processes and servers on the loopback; no Docker.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod access_log;
mod acme;
mod activation;
mod client;
mod control;
mod https;
mod lb;
mod limits;
mod live;
mod load;
mod metrics;
mod nginx;
#[path = "../e2e/prometheus.rs"]
#[allow(dead_code, reason = "it can do more")]
mod prometheus;
#[path = "../e2e/reference.rs"]
mod reference;
mod reload;
#[allow(dead_code, reason = "who listens is the balancer")]
mod reserved;
mod screen;
mod site;
mod stop;
mod take_over;
mod terminal;
