//! Raw sockets on both sides of a proxy, or of a client or server alone: what is
//! sent is sent byte for byte, and what arrives is taken apart strictly.
//!
//! A [`Client`] writes exactly what it is told, malformed or not, in pieces if
//! asked, and tells a complete answer from one that was cut off, and a clean close
//! from a reset. A [`Backend`] answers by a script and keeps, for every connection,
//! all bytes and each request as it saw it. Both read HTTP/1.1 by the letter of RFC
//! 9112 and forgive nothing: what they can't take is reported with the reason.
//!
//! That makes the test of a proxy a comparison. What the backend has seen must be
//! what the client sent, neither more requests nor other ones; what the client has
//! got must be what the backend answered, or no complete answer at all.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lb_core::testing::wire::{Backend, Client, Reply};
//!
//! let backend = Backend::start(|_| Reply::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))?;
//! // A proxy under test would be between the two.
//! let mut client = Client::connect(backend.address()).await?;
//! client.send("POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc").await?;
//! let answer = client.answer("POST").await.complete()?;
//! assert_eq!((answer.status, &answer.body[..]), (200, &b"hi"[..]));
//!
//! let seen = backend.requests();
//! assert_eq!((&seen[0].method[..], seen[0].text("host").as_deref()), ("POST", Some("b")));
//! assert_eq!(seen[0].body, b"abc");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here waits for ever: what the other side keeps silent about for a
//! [`limit`](Client::limit) is [`End::Silent`]. All that is received is kept in
//! memory.

mod backend;
mod client;
mod message;
mod parse;
mod reply;
mod stream;

pub use backend::{Backend, Recorded};
pub use client::{Client, Incomplete, Received};
pub use message::{Answer, Framing, Headers, Seen};
pub use reply::Reply;
pub use stream::End;
