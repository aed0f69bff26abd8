//! Load balancing for Rust services: who is there ([`discovery`]), who is next
//! ([`balance`]), and how busy each of them is ([`load`]).
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
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | (default) | the balancer: no hyper, no sockets |
//! | `http-types` | leases that end with the body of an HTTP answer, affinity by header, cookie and client |
//! | `http` | the proxy service and its upstream client |
//! | `test-util` | scripted endpoints, a source tests change, a clock, a conformance kit |
//! | `server` | listeners, workers, graceful shutdown |
//! | `file` | discovery from a file of endpoints |
//! | `dns` | discovery from DNS |

pub mod balance;
mod clock;
pub mod discovery;
pub mod endpoint;
#[cfg(feature = "http")]
pub mod health;
#[cfg(feature = "http")]
pub mod http;
pub mod load;
#[cfg(feature = "http")]
pub mod metrics;
pub mod registry;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "test-util")]
pub mod testing;

pub use balance::Balance;
pub use discovery::{Change, Discovery};
pub use endpoint::{Endpoint, EndpointId};

/// The README's Rust is compiled and run like any other example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
