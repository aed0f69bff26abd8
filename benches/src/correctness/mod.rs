//! Whether a proxy speaks HTTP/1.1 as the standard wants it, under attack as well.
//!
//! A [`Case`] is what a client sends, what the server behind the proxy answers,
//! and what may then be seen on both sides. [`cases::all`] lists them, a [`Lane`]
//! runs them one after the other against one proxy, several lanes run at once
//! ([`run_all`]).
//!
//! What all cases about smuggling come down to: the server behind the proxy never
//! sees a request that the client didn't send, nor another end of one, nor anything
//! that isn't a request. Refusing is always fine.

mod case;
pub mod cases;
mod observed;
pub mod page;
pub mod proxies;
mod run;

pub use case::{Act, Case, Level};
pub use observed::{Observed, Verdict};
pub use run::{Lane, Outcome, run_all};
