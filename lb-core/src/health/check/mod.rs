//! What a check is, and the checks there are.

#[cfg(feature = "health-grpc")]
mod grpc;
#[cfg(feature = "health-http")]
mod http;
#[cfg(feature = "health")]
mod tcp;

use std::{borrow::Cow, error, fmt, future::Future, io, pin::Pin};

#[cfg(any(feature = "health-http", feature = "health-grpc"))]
use std::net::SocketAddr;

#[cfg(any(feature = "health-http", feature = "health-grpc"))]
use ::http::uri::Authority;

use crate::endpoint::EndpointId;

#[cfg(feature = "health-grpc")]
pub use self::grpc::Grpc;
#[cfg(feature = "health-http")]
pub use self::http::Http;
#[cfg(feature = "health")]
pub use self::tcp::Tcp;

/// A future that any task may run.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds out whether an endpoint can serve.
///
/// A check has no time limit and no schedule of its own: the
/// [`Monitor`](super::Monitor) gives it both, and drops its future when the time
/// is over or the endpoint is gone.
///
/// A function that returns a future is a check, too:
///
/// ```
/// use lb_core::{EndpointId, health::{Check, CheckError}};
///
/// fn check() -> impl Check<u16> {
///     |_: &EndpointId, port: &u16| {
///         let port = *port;
///         async move {
///             if port == 0 { Err(CheckError::new("there is no port 0")) } else { Ok(()) }
///         }
///     }
/// }
/// ```
pub trait Check<T: ?Sized>: Send + Sync {
    /// Looks once at the endpoint `id`, which is reached at `target`.
    fn check<'a>(
        &'a self,
        id: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>>;
}

impl<T, F, Fut> Check<T> for F
where
    T: ?Sized,
    F: Fn(&EndpointId, &T) -> Fut + Send + Sync,
    Fut: Future<Output = Result<(), CheckError>> + Send + 'static,
{
    fn check<'a>(
        &'a self,
        id: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(self(id, target))
    }
}

/// A check of what a function takes from each target: where a target that is no
/// address says where it is, or that it is checked somewhere else than requests
/// are sent.
#[derive(Clone, Copy, Debug)]
pub struct At<C, F> {
    check: C,
    address: F,
}

impl<C, F> At<C, F> {
    /// Checks by `check` at what `address` makes of a target.
    pub fn new<T: ?Sized, U>(check: C, address: F) -> Self
    where
        F: Fn(&T) -> U,
    {
        Self { check, address }
    }
}

impl<T, U, C, F> Check<T> for At<C, F>
where
    T: Sync + ?Sized,
    U: Send + Sync,
    C: Check<U>,
    F: Fn(&T) -> U + Send + Sync,
{
    fn check<'a>(
        &'a self,
        id: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(async move {
            let target = (self.address)(target);
            self.check.check(id, &target).await
        })
    }
}

/// Why an endpoint has not passed a check, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckError(Cow<'static, str>);

impl CheckError {
    /// A check that has failed for this reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for CheckError {}

impl From<io::Error> for CheckError {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// A check that can't be made as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCheck {
    /// What was to be set.
    pub key: &'static str,
    /// To what.
    pub value: String,
    /// What would do.
    pub remedy: &'static str,
}

impl fmt::Display for InvalidCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` won't do: {}", self.key, self.value, self.remedy)
    }
}

impl error::Error for InvalidCheck {}

/// A host, with a port if need be, that a request asks for in place of the
/// address.
#[cfg(any(feature = "health-http", feature = "health-grpc"))]
fn host(key: &'static str, value: &str) -> Result<Authority, InvalidCheck> {
    let parsed = value.parse().ok().filter(|parsed: &Authority| !parsed.as_str().contains('@'));
    parsed.ok_or_else(|| InvalidCheck {
        key,
        value: value.to_owned(),
        remedy: "it is a name or an address, with a port if need be, as in example.com:8080",
    })
}

/// An address as the host of a request. The scope of a link-local one means
/// something to this machine only, and is no part of a URI (RFC 6874 aside).
#[cfg(any(feature = "health-http", feature = "health-grpc"))]
fn host_of(address: SocketAddr) -> String {
    SocketAddr::new(address.ip(), address.port()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "health-grpc")]
    #[test]
    fn a_link_local_address_is_a_host_without_its_scope() {
        let address = "[fe80::1%3]:80".parse().unwrap();
        assert_eq!(host_of(address), "[fe80::1]:80");
        assert!(host("host", &host_of(address)).is_ok());
        assert_eq!(host_of("127.0.0.1:80".parse().unwrap()), "127.0.0.1:80");
    }

    struct Backend {
        port: u16,
    }

    fn odd() -> impl Check<u16> {
        |_: &EndpointId, port: &u16| {
            let port = *port;
            async move { if port % 2 == 1 { Ok(()) } else { Err(CheckError::new("is even")) } }
        }
    }

    #[tokio::test]
    async fn functions_are_checks_and_can_be_made_elsewhere() {
        let id = EndpointId::from("a");
        assert_eq!(odd().check(&id, &3).await, Ok(()));
        let check = At::new(odd(), |backend: &Backend| backend.port + 1);
        assert_eq!(check.check(&id, &Backend { port: 4 }).await, Ok(()));
        let even = check.check(&id, &Backend { port: 3 }).await;
        assert_eq!(even.unwrap_err().to_string(), "is even");
    }
}
