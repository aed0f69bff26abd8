//! A simulation of clients, balancers and servers in virtual time.
//!
//! The balancers are those of `lb-core`, and the leases too; only time, servers
//! and requests are made up. Each client has a balancer of its own
//! that knows no requests but its own. A server is a number of workers behind a
//! queue. Requests come whether or not earlier ones have been answered. No time
//! passes on the network.
//!
//! All randomness is seeded: the same simulation gives the same figures.

mod client;
mod clock;
mod contender;
mod figures;
mod plot;
mod random;
mod run;
mod scenario;
mod server;
mod settings;
mod table;

pub use clock::Clock;
pub use contender::Contender;
pub use figures::Figures;
pub use plot::svg;
pub use random::{Distribution, Keys};
pub use run::Simulation;
pub use scenario::Scenario;
pub use server::{Setup, Trouble};
pub use settings::Settings;
pub use table::{Measured, Table};
