//! What to do when an endpoint fails, is slow or is full: tower layers, each of
//! use alone, that fit around a [`Balance`](crate::Balance) and its endpoints.
//!
//! | concern | layer | why this one |
//! |---|---|---|
//! | an attempt failed | [`retry`] | each attempt goes to another endpoint; `tower::retry` can't say so to a balancer, and is right for a single service |
//! | retries that make an outage worse | [`budget`] | keeps any share exactly, without a lock; tower's `TpsBudget` fits in its place |
//! | an attempt takes unusually long | [`hedge`] | has a budget and goes to another endpoint; tower's hedge does neither |
//! | nobody waits for the answer any more | [`deadline`] | takes the caller's deadline and passes on what is left; `tower::timeout` knows one duration for all |
//! | an endpoint can take only so much | [`Balance::max_in_flight`](crate::Balance::max_in_flight) | looks for room before it picks |
//! | one endpoint can take less than the others | [`limit`] | its queue is bounded; that of tower's `ConcurrencyLimit` is not |
//! | all endpoints are down | [`Balance::wait`](crate::Balance::wait) | fails at once after a while of waiting |
//! | a single service is down | [`failfast`] | the same without a balance; tower's `LoadShed` has no patience at all |
//! | an endpoint fails again and again | [outlier ejection](crate::balance::Driver::health) | takes it out of the cluster, so no layer around it is needed; retries alone go on asking it first, until their budget is spent |
//! | so many requests a second | `tower::limit::RateLimit` | nothing to add |
//! | a service that isn't `Clone` | `tower::buffer` | nothing to add; a balance needs none in front |
//!
//! # In which order
//!
//! Deadline, retry, hedge, balance; and around each endpoint limit, a deadline
//! for each attempt, and renewal of the deadline.
//!
//! * The deadline is outermost, as it is one for all attempts and the pauses
//!   between them.
//! * A second one, with [`at_most`](deadline::DeadlineLayer::at_most), limits
//!   each attempt, and has to be in `connect`, inside the balance. There an
//!   endpoint that never answers ends its requests with an error, which counts
//!   as its failure: enough of them, and [it is ejected](crate::health). Above
//!   the balance the same limit cuts off the endpoint and the balance alike. An
//!   attempt that was cut off counts as cancelled by its caller and says nothing
//!   of the endpoint, which would stay in use for ever. What the caller has left
//!   is a limit of the attempt, too: if that is less, it ends as the endpoint's
//!   failure and reaches the caller as [`Inner`](deadline::Error::Inner).
//! * A retry makes attempts of a request, and a hedge makes two of an attempt.
//!   The other way round each of the two would be retried.
//! * What is left of the time is written [at the end](deadline::renew), after
//!   every queue.
//!
//! ```
//! use std::{io, time::{Duration, Instant}};
//! use lb_core::{
//!     Balance, EndpointId,
//!     balance::Algorithm,
//!     discovery,
//!     health::Health,
//!     resilience::{
//!         deadline::{self, DeadlineLayer, Malformed, Timed},
//!         hedge::HedgeLayer,
//!         limit::LimitLayer,
//!         policy::OnTransient,
//!         retry::RetryLayer,
//!     },
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone)]
//! struct Call { name: &'static str, deadline: Option<Instant> }
//!
//! impl Timed for Call {
//!     fn deadline(&self) -> Result<Option<Instant>, Malformed> { Ok(self.deadline) }
//!     fn set_deadline(&mut self, deadline: Instant) { self.deadline = Some(deadline) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let connect = |_id: &EndpointId, address: &&'static str| {
//!     let address = *address;
//!     ServiceBuilder::new()
//!         .layer(LimitLayer::new(100, 50))
//!         .layer(DeadlineLayer::new().at_most(Duration::from_millis(500)))
//!         .map_request(deadline::renew)
//!         .service(service_fn(move |call: Call| async move {
//!             match address {
//!                 "10.0.0.1:80" => std::future::pending().await,
//!                 _ => Ok::<_, io::Error>(format!("{} via {address}", call.name)),
//!             }
//!         }))
//! };
//! let endpoints = discovery::fixed(["10.0.0.1:80", "10.0.0.2:80"]);
//! let (balance, driver) = Balance::new(endpoints, connect, Algorithm::RoundRobin);
//! tokio::spawn(driver.health(Health::passive()).run());
//!
//! let service = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new().at_most(Duration::from_secs(2)))
//!     .layer(RetryLayer::new(OnTransient))
//!     .layer(HedgeLayer::new(OnTransient))
//!     .service(balance.attempts());
//! for _ in 0..4 {
//!     let call = Call { name: "hello", deadline: None };
//!     assert_eq!(service.clone().oneshot(call).await?, "hello via 10.0.0.2:80");
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
pub mod budget;
pub mod deadline;
pub mod failfast;
#[cfg(feature = "http-types")]
mod grpc_timeout;
pub mod hedge;
#[cfg(feature = "http-types")]
mod idempotent;
mod latencies;
pub mod limit;
pub mod policy;
pub mod retry;
#[cfg(test)]
mod test_support;
