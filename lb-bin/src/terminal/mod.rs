//! Commands that ask the balancer that runs, over its admin listener, and show in a
//! terminal what it answers.

mod admin;
mod answers;
mod endpoints;
mod explain;
mod output;
mod sse;
mod table;
mod text;
mod top;

pub(crate) use admin::Admin;
pub(crate) use endpoints::endpoints;
pub(crate) use explain::explain;
pub(crate) use output::print;
pub(crate) use top::top;
