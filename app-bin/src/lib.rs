//! The hello server: the application behind the load balancer.
//!
//! It answers every path and every method with
//! `Hi there, I'm served from <name>!`, and it can be told to be slow, to fail,
//! to hang, to grow its answers and to leave in several ways, because what a
//! balancer is worth shows when its backends misbehave.
//!
//! The binary `app-bin` is a command line around this library. The library is
//! separate so that a demo can run many app servers in one process:
//!
//! ```no_run
//! use app_bin::{App, Behavior, Server};
//! use std::time::Duration;
//!
//! # async fn demo() -> std::io::Result<()> {
//! let slow = Behavior {
//!     latency: Duration::from_millis(50),
//!     ..Behavior::default()
//! };
//! let server = Server::bind(([127, 0, 0, 1], 0).into(), App::new("web-1").with_behavior(slow))?;
//! let address = server.local_addr();
//! let handle = server.handle();
//! let running = tokio::spawn(server.run());
//!
//! // ... send requests to `address`, then:
//! handle.drain(Duration::from_secs(10));
//! let _ended = running.await;
//! # Ok(())
//! # }
//! ```
//!
//! # Overrides in a request
//!
//! A test often wants one odd answer from an otherwise healthy server. These
//! query parameters change the answer to the request that carries them:
//!
//! | parameter        | effect                                                              |
//! |------------------|---------------------------------------------------------------------|
//! | `?latency=100ms` | waits this long before answering, instead of latency and jitter     |
//! | `?status=503`    | answers with this status, 200 to 599, instead of the error rate's   |
//! | `?size=1024`     | answers with a body of exactly this many bytes                      |
//! | `?pace=10ms`     | waits this long before each block of 32 KiB of the body             |
//! | `?chunked`       | answers without telling the length of the body                      |
//! | `?truncate`      | breaks off half-way through the body, if that has two bytes or more |
//! | `?hang`          | never answers                                                       |
//! | `?id=X`          | has this identity: the answer carries it in `x-id`, and the journal |
//! | `?echo`          | answers with the request line and headers as received, one per line |
//!
//! They can be combined with `&`. Other parameters are ignored; a value that
//! cannot be used is answered 400 with what to write instead. Values are taken
//! literally, without percent-decoding.
//!
//! # Upgrades
//!
//! A request with `Connection: upgrade` and `Upgrade: echo` is answered 101, and
//! from then on every byte is sent back, so that the upgrade path of a proxy can
//! be tested without a WebSocket library.

mod behavior;
mod body;
mod control;
mod duration;
mod health;
mod hello;
mod hostname;
mod journal;
mod lifecycle;
mod listener;
mod metrics;
mod mood;
mod overrides;
mod server;
mod traffic;
mod tunnel;

pub use behavior::{Behavior, InvalidRate, Rate};
pub use control::Control;
pub use duration::{InvalidDuration, parse_duration};
pub use health::Health;
pub use hello::App;
pub use hostname::hostname;
pub use journal::Step;
pub use metrics::{
    DURATION_BUCKETS, DURATION_METRIC, HEALTHY_METRIC, METRICS, Metric, MetricKind, Metrics,
};
pub use server::{Ended, Handle, Server};
