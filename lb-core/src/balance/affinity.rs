//! What keeps HTTP requests together, for [`Balance::hash_by`] and an algorithm
//! that [hashes](super::Algorithm::hashes). A request without it goes anywhere.
//!
//! ```
//! use lb_core::{Balance, balance::{Algorithm, affinity}, discovery};
//! # let discovery = discovery::fixed(["a"]);
//! # let connect = |_: &_, _: &&str| ();
//! let (balance, driver) = Balance::new(discovery, connect, Algorithm::RingHash);
//! let balance = balance.hash_by(affinity::cookie("session"));
//! ```
//!
//! [`Balance::hash_by`]: super::Balance::hash_by

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Request, header::COOKIE};

use super::hash::{self, Key};

/// Requests with the same value of a header.
pub fn header(name: HeaderName) -> Header {
    Header(name)
}

/// Requests with the same value of a cookie, which somebody else has set.
pub fn cookie(name: impl Into<String>) -> Cookie {
    Cookie(name.into())
}

/// Requests of the same client: the first address in `X-Forwarded-For`.
///
/// That header says whatever the last proxy lets pass. Where no proxy that you
/// trust writes it, hash the [`address`] of the connection.
pub fn source() -> Source {
    Source(())
}

/// The hash of a client's address. Of an IPv6 address the first 64 bits count:
/// the rest is its own to change (RFC 8981).
pub fn address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => hash::of(&v4.octets()),
        IpAddr::V6(v6) => hash::of(&v6.octets()[..8]),
    }
}

/// See [`header`].
#[derive(Clone, Debug)]
pub struct Header(HeaderName);

/// See [`cookie`].
#[derive(Clone, Debug)]
pub struct Cookie(String);

/// See [`source`].
#[derive(Clone, Copy, Debug)]
pub struct Source(());

impl<B> Key<Request<B>> for Header {
    fn hash(&self, request: &Request<B>) -> Option<u64> {
        Some(hash::of(request.headers().get(&self.0)?.as_bytes()))
    }
}

impl<B> Key<Request<B>> for Cookie {
    fn hash(&self, request: &Request<B>) -> Option<u64> {
        let lines = request.headers().get_all(COOKIE).iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
        pairs
            .filter_map(|pair| {
                pair.trim_ascii().strip_prefix(self.0.as_bytes())?.strip_prefix(b"=")
            })
            .map(hash::of)
            .next()
    }
}

impl<B> Key<Request<B>> for Source {
    fn hash(&self, request: &Request<B>) -> Option<u64> {
        source_of(request.headers())
    }
}

pub(crate) fn source_of(headers: &HeaderMap) -> Option<u64> {
    let first = headers.get("x-forwarded-for")?.to_str().ok()?.split(',').next()?.trim();
    // What is no address is a name that some proxies give; it will do as well.
    Some(first.parse().map_or_else(|_| hash::of(first.as_bytes()), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Request<()> {
        Request::builder().header(name, value).body(()).unwrap()
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let key = |cookies| cookie("session").hash(&with("cookie", cookies));
        let expected = Some(hash::of(b"42"));
        assert_eq!(key("session=42"), expected);
        assert_eq!(key("theme=dark; session=42; x=y"), expected);
        assert_eq!(key("mysession=42; session2=42; session"), None);
    }

    #[test]
    fn a_header_is_compared_byte_by_byte() {
        let key = header(HeaderName::from_static("x-user"));
        assert_eq!(key.hash(&with("X-User", "ann")), key.hash(&with("x-user", "ann")));
        assert_ne!(key.hash(&with("X-User", "ann")), key.hash(&with("x-user", "Ann")));
        assert_eq!(key.hash(&with("x-other", "ann")), None);
    }

    #[test]
    fn a_client_is_known_by_its_first_address() {
        let key = |value| source().hash(&with("x-forwarded-for", value));
        let v4 = Some(address("10.1.2.3".parse().unwrap()));
        assert_eq!(key("10.1.2.3"), v4);
        assert_eq!(key("10.1.2.3, 192.0.2.1"), v4);
        assert_eq!(key("::ffff:10.1.2.3"), v4);
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"), "one client, two addresses");
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert!(key("unknown").is_some());
    }
}
