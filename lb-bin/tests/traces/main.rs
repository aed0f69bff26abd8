//! Traces as a collector gets them: the balancer as a process, real sockets, and OTLP
//! that is decoded by others than those who have written it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod arriving;
mod collector;
mod endpoint;
mod sampling;
mod span;
mod spans;
mod trouble;

#[allow(dead_code, reason = "what only the tests of life need")]
#[path = "../life/client.rs"]
mod client;
#[allow(dead_code, reason = "what only the tests of life need")]
#[path = "../life/lb.rs"]
mod lb;
#[path = "../life/reserved.rs"]
mod reserved;
