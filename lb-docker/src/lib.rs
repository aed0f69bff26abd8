//! Discovery over the Docker socket: which containers want requests for which
//! hosts, as a stream of changes for [`lb_core`].
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use lb_docker::{DockerDiscovery, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::from_env(|key| std::env::var(key).ok())?;
//! let (mut containers, status) = DockerDiscovery::new(options);
//! while let Some(change) = containers.next().await {
//!     println!("{change:?}, {} containers in all", status.report().containers);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a container says
//!
//! | label | variable | |
//! |---|---|---|
//! | `lb.host` | `VIRTUAL_HOST` | the hosts, separated by commas: `a.example.com, *.b.example.com` |
//! | `lb.port` | `VIRTUAL_PORT` | where it listens; else the only TCP port it exposes, else 80 |
//! | `lb.algorithm` | | the name of an [`Algorithm`](lb_core::balance::Algorithm) |
//! | `lb.weight` | | its share of requests; 0 for no new ones |
//! | `lb.ready` | | `accept` not to wait for its health check to pass at the start |
//!
//! Where both are given the label counts. What can't be used is reported as a
//! [`Problem`](lb_core::registry::Problem) of that container and touches no
//! other one. A setting that would send requests elsewhere than we would
//! (`VIRTUAL_PATH`, for one) keeps the container out altogether.
//!
//! # What becomes of a container
//!
//! It takes requests once it runs and its health check, if it has one, has
//! passed. It drains from the moment it is told to stop. While it is paused,
//! unhealthy or between two starts it stays known, so that requests can wait
//! for it; ten seconds after its end, or when it is removed, it is forgotten.
//!
//! # How it is found out
//!
//! ```text
//! engine ──events──▶ watch ──┐
//!        ◀─list, inspect───┐ ▼
//!                        reconcile ──changes──▶ registry of lb-core
//! ```
//!
//! Events lead; a list is read after each connection and every ten seconds
//! beside, to find what they missed. A change costs one inspection at most,
//! however many containers there are. When the engine can't be reached, what
//! was known stays in force until it can be reached again.

mod addresses;
mod container;
mod discovery;
mod engine;
mod event;
pub mod metrics;
mod network;
mod options;
mod own;
mod reconcile;
mod register;
mod settings;
mod signal;
mod status;
mod watch;

pub use addresses::Addresses;
pub use discovery::DockerDiscovery;
pub use options::{EngineAddress, InvalidOption, LabelFilter, Options};
pub use status::{Report, Status, Version};
