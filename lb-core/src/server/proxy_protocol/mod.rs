//! The PROXY protocol, versions 1 and 2: how a proxy in front tells whose
//! connection it passes on.
//!
//! A header stands before the first byte of a connection. [`read`] takes one from
//! a stream, [`parse`] from bytes; [`write_v1`] and [`write_v2`] make one for the
//! next hop.
//!
//! A header is the word of whoever has connected, and anybody can say anything.
//! Expect one only where you are told to, and only from proxies of your own; and
//! then expect it always: a receiver that takes connections with and without a
//! header lets every client choose its address (sections 2 and 5).
//!
//! ```
//! use lb_core::server::proxy_protocol::{MAX_LEN, read};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let connection = &b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\n"[..];
//! let (header, first_bytes) = read(connection, MAX_LEN).await?;
//! let addresses = header.and_then(|header| header.addresses);
//! assert_eq!(addresses.map(|ends| ends.source), "192.0.2.1:56324".parse().ok());
//! assert_eq!(first_bytes, b"GET / HTTP/1.1\r\n");
//! # Ok(())
//! # }
//! ```
//!
//! The format is that of HAProxy's `proxy-protocol.txt`
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>); sections in
//! this module are sections of that.

mod malformed;
mod read;
mod tlv;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

pub use malformed::Malformed;
pub use read::read;
pub use v1::write as write_v1;
pub use v2::write as write_v2;

/// The longest header that is accepted, in bytes.
///
/// Version 2 could announce 64 KiB, for each connection and before anybody is known.
/// What proxies send takes a few hundred bytes: addresses 232 at most, a name, an
/// identifier of 128 at most, and what TLS said.
pub const MAX_LEN: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header may begin so, and goes on.
    Incomplete {
        /// How many bytes the header has at least, with those that are there.
        needed: usize,
    },
    /// No header begins so. Where one is expected, that is an error (section 2.2).
    Absent,
    /// A whole header; what follows it belongs to the connection.
    Header(Header),
}

/// What a header says.
///
/// Of its further fields only those are kept that tell an HTTP proxy something: what
/// it would have learnt from the client's TLS handshake, had it taken part, and a
/// name for the connection. Network namespaces, ciphers, certificates and custom
/// fields have no reader here and are skipped; so is everything behind addresses of an
/// unspecified kind, as nobody can tell where those end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// How long the header is, in bytes.
    pub length: usize,
    /// Whether the sender speaks for itself, to see whether it is answered. Then there
    /// is nothing else in the header.
    pub local: bool,
    /// Whose connection it is. `None` where the header doesn't say, or speaks of
    /// something other than IP: then those of the connection itself count.
    pub addresses: Option<Addresses>,
    /// The protocol that was agreed upon by ALPN (RFC 7301), such as `h2`: the client
    /// speaks it at once.
    pub alpn: Option<Box<[u8]>>,
    /// The host that the client asked TLS for (SNI), or the like.
    pub authority: Option<Box<str>>,
    /// The name that the sender gave to the connection, for logs: 128 bytes at most, of
    /// any value.
    pub unique_id: Option<Box<[u8]>>,
    /// What is known of the client's TLS: requests that came by it are `https`, even
    /// though this connection is in the clear.
    pub tls: Option<Tls>,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// What was connected to.
    pub destination: SocketAddr,
}

/// The client's TLS, as far as a header tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The version, such as `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// Whether the client has shown a certificate that was found to be good.
    pub verified: bool,
}

/// Looks for a header at the beginning of `bytes`.
///
/// # Errors
///
/// A header has begun and can't be one, or is longer than [`MAX_LEN`]: the connection
/// is to be closed (section 2).
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if begins(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Ok(Parsed::Absent)
    }
}

/// Whether one of both is the beginning of the other.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

/// Both ends in the family that a header can name. IPv4 inside of IPv6 is IPv4, which
/// is how sockets for both show it; what is of two families then is `None`, as a
/// header has one (section 2.1).
fn one_family(addresses: Option<Addresses>) -> Option<Addresses> {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let Addresses { source, destination } = addresses?;
    let (source, destination) = (canonical(source), canonical(destination));
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            Some(Addresses { source, destination })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
