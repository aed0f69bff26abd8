//! Clients and servers that people have, with the balancer between them: gRPC,
//! WebSockets, server-sent events. Those that are programs are in `deploy/clients.sh`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

mod before;
mod events;
mod grpc;
mod websocket;

#[allow(dead_code, reason = "what only the tests of life need")]
#[path = "../life/client.rs"]
mod client;
#[allow(dead_code, reason = "what only the tests of life need")]
#[path = "../life/lb.rs"]
mod lb;
