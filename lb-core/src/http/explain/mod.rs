//! Why endpoints are used or not, and where a request would go.
//!
//! All of it is read from the same table and by the same functions as requests are
//! served by. Nobody's turn is taken, and nothing is counted.

mod endpoint;
mod inquiry;
mod nearby;
mod request;
mod shares;

pub use endpoint::{Condition, EndpointExplanation, Role, Test};
pub use inquiry::{Inquiry, InvalidInquiry};
pub use nearby::{Near, Nearness};
pub use request::{
    EndpointShare, Goes, HttpsExplanation, Match, RequestExplanation, RouteExplanation, Way,
};
pub use shares::Basis;
