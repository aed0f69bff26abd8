//! Load balancing for Rust services: who is there ([`discovery`]), who is next
//! ([`balance`]), how busy each of them is ([`load`]), whether it can serve
//! ([`health`]), and what to do when one fails ([`resilience`]).
//!
//! One engine, used three ways:
//!
//! * **Embed the balancer** (default features): [`balance::Balance`] is a
//!   [`tower_service::Service`] over any number of inner services, of any
//!   request type. It is `Clone + Send + Sync`, needs no buffer in front and
//!   sees the request when it picks.
//! * **Embed the proxy** (features `http` and `server`): `http::Proxy` is a
//!   whole HTTP reverse proxy as a service, `server::Server` the listeners that
//!   drive it, one worker per core.
//! * **Run the proxy**: the `lb-bin` daemon wires both to Docker.
//!
//! # Ten lines
//!
//! ```
//! use lb_core::{balance::{Algorithm, Balance}, discovery};
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backends = discovery::fixed(["10.0.0.1:80", "10.0.0.2:80"]);
//! let connect = |_id: &_, address: &&'static str| {
//!     let address = *address;
//!     service_fn(move |name: String| async move { Ok::<_, std::io::Error>(format!("{name} via {address}")) })
//! };
//! let (balance, driver) = Balance::new(backends, connect, Algorithm::LeastRequest);
//! tokio::spawn(driver.run());
//! let answer = balance.oneshot("hello".to_owned()).await?;
//! assert!(answer.starts_with("hello via 10.0.0."));
//! # Ok(())
//! # }
//! ```
//!
//! That is a fixed list, the less busy of two, and no more. From here:
//!
//! # Who is there
//!
//! A [`Discovery`] is any stream of [`Change`]s: [`fixed`](discovery::fixed), a
//! [`channel`](discovery::channel), a file that is followed as it changes, DNS,
//! Docker (the crate `lb-docker`), a tokio `watch`, tower's `Discover`, or
//! several of them [merged](discovery::merge()). An endpoint that stays the same
//! keeps its service, its requests in flight, its latency and its health,
//! whatever happens around it, because all of that belongs to its
//! [`EndpointId`] and not to its address.
//!
//! # Who is next
//!
//! [`balance::Algorithm`] lists the algorithms; `docs/algorithms.md` in the
//! repository tells which to choose, with figures. In short: `peak_ewma` unless
//! you know better, `least_request` for one proxy before equal servers,
//! `ring_hash` where the same key has to meet the same server.
//! [Priorities](balance::Cluster) work with each of them,
//! [`ZoneAware`](balance::ZoneAware) and [`Aperture`](balance::Aperture) around
//! each of them. A [`Balancer`](balance::Balancer) of your own is one function.
//!
//! # Who is well
//!
//! [`Driver::health`](balance::Driver::health) adds active checks, ejection of
//! outliers, slow start and a panic threshold; see [`health`].
//!
//! # What if it fails
//!
//! [`resilience`] has tower layers for retries that go elsewhere, hedges,
//! deadlines, limits and failing fast. A request that finds no endpoint waits
//! for a [bounded time](Balance::wait) in a [bounded queue](Balance::queue), and
//! then gets an [`Error`](balance::Error) that says why.
//!
//! # Examples
//!
//! Each is a program of less than 60 lines in the folder `examples`, which
//! starts servers of its own, and the tests run it while one of those dies.
//!
//! | | |
//! |---|---|
//! | `tonic_client` | gRPC: a generated client, balanced by calls, with retries |
//! | `reqwest_client` | HTTP with reqwest |
//! | `axum_service` | a web service that balances what it asks of others, with retries and a deadline |
//! | `plain_service` | a protocol of lines, the same server for the same key |
//! | `docker_client` (in `lb-docker`) | HTTP to the containers that name a host |
//!
//! # Beside others
//!
//! | | lb-core | `tower` 0.5 `balance::p2c` | `pingora-load-balancing` 0.9 |
//! |---|---|---|---|
//! | used through | a `Service` that is `Clone + Send + Sync` (`tests/balance.rs`) | a `Service` that isn't `Clone`; a `Buffer` shares it ([source][w1]) | `select(key)`, which names an address ([source][p1]) |
//! | picks | when it has the request | in `poll_ready`, before the request is known ([source][w1]) | by a key |
//! | no endpoint | waits, for a bounded time, then says why (`tests/balance.rs`) | stays pending ([source][w1]) | `None` |
//! | failed endpoint | kept, and left alone while it is unhealthy or ejected (`tests/health.rs`) | dropped until discovery names it anew ([source][w1]) | left out by active checks ([source][p2]) |
//! | load | requests in flight, latency, failures (`tests/balancers.rs`) | requests in flight, latency ([docs][w2]) | none ([source][p3]) |
//! | weights | yes (`tests/balancers.rs`) | no | yes ([source][p3]) |
//! | hashing | ring, Maglev, rendezvous; bounded loads (`tests/balancers.rs`) | no | ring (Ketama), FNV ([source][p3]) |
//! | endpoints are known by | an identity of their own | the discovery's key | address and weight ([source][p1]) |
//! | discovery | pushes changes | pushes changes | is polled for the whole set ([source][p4]) |
//!
//! What a pick costs beside both is measured by `make peers`.
//!
//! [w1]: https://docs.rs/tower/0.5.3/src/tower/balance/p2c/service.rs.html
//! [w2]: https://docs.rs/tower/0.5.3/tower/load/index.html
//! [p1]: https://docs.rs/pingora-load-balancing/0.9.1/src/pingora_load_balancing/lib.rs.html
//! [p2]: https://docs.rs/pingora-load-balancing/0.9.1/src/pingora_load_balancing/health_check.rs.html
//! [p3]: https://docs.rs/pingora-load-balancing/0.9.1/pingora_load_balancing/selection/index.html
//! [p4]: https://docs.rs/pingora-load-balancing/0.9.1/src/pingora_load_balancing/discovery.rs.html
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | (default) | the balancer: no hyper, no sockets |
//! | `http-types` | of HTTP without a proxy: leases that end with the body, affinity, requests that may be repeated, gRPC deadlines |
//! | `http` | the proxy service and its upstream client |
//! | `metrics` | the types that tables of metrics are made of; `http` comes with it |
//! | `test-util` | scripted endpoints, a source tests change, a clock, raw sockets, a conformance kit |
//! | `server` | listeners, workers, graceful shutdown |
//! | `health` | the health check `Tcp`; the rest of [`health`] is always there |
//! | `health-http`, `health-grpc` | the health checks `Http` and `Grpc` |
//! | `file` | discovery from a file of endpoints |
//! | `dns` | discovery from DNS |
//! | `tls` | certificates from a folder, TLS with clients and upstreams |
//! | `acme` | certificates from an ACME server, put into that folder |

#[cfg(any(feature = "http", feature = "server"))]
mod abandon;
#[cfg(feature = "acme")]
pub mod acme;
pub mod balance;
mod clock;
pub mod discovery;
pub mod endpoint;
pub mod health;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "http", feature = "server"))]
mod interim;
pub mod load;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(any(feature = "http", feature = "server"))]
pub mod overload;
#[cfg(any(feature = "http", feature = "server"))]
mod patience;
pub mod registry;
pub mod resilience;
#[cfg(feature = "server")]
pub mod server;
mod sync;
#[cfg(feature = "test-util")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;

pub use balance::Balance;
pub use discovery::{Change, Discovery};
pub use endpoint::{Endpoint, EndpointId};

/// The README's Rust is compiled and run like any other example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
