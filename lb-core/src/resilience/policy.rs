//! What may be sent again, and when that is worth it: what
//! [retries](super::retry) and [hedges](super::hedge) have to be told.

use std::{fmt, time::Instant};

use super::deadline;
use crate::balance;

#[cfg(feature = "http-types")]
pub use super::idempotent::Idempotent;

/// Says which requests may be sent more than once, and which results make
/// another attempt worth it.
///
/// Ready ones: [`OnTransient`], [`policy_fn`], and with the feature `http-types`
/// `Idempotent`.
pub trait Policy<Req, Res, E> {
    /// A copy to send again, or `None` for a request that must be sent only
    /// once: because it changes something, or because it can't be copied.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Whether another endpoint may do better.
    fn retryable(&self, result: Result<&Res, &E>) -> bool;

    /// When the answer is of no use any more, if that is known. No retry begins
    /// then.
    fn deadline(&self, _request: &Req) -> Option<Instant> {
        None
    }
}

/// A policy of two functions: [`Policy::clone_request`] and
/// [`Policy::retryable`].
///
/// ```
/// use lb_core::{balance::Error, resilience::policy::policy_fn};
///
/// #[derive(Clone)]
/// enum Call { Read(u64), Write(u64, String) }
///
/// let policy = policy_fn(
///     |call: &Call| matches!(call, Call::Read(_)).then(|| call.clone()),
///     |result: Result<&String, &Error<std::io::Error>>| matches!(result, Err(Error::Inner(_))),
/// );
/// ```
pub fn policy_fn<C, R, Req, Res, E>(clone_request: C, retryable: R) -> PolicyFn<C, R>
where
    C: Fn(&Req) -> Option<Req>,
    R: Fn(Result<&Res, &E>) -> bool,
{
    PolicyFn { clone_request, retryable }
}

/// Made by [`policy_fn`].
#[derive(Clone, Copy)]
pub struct PolicyFn<C, R> {
    clone_request: C,
    retryable: R,
}

impl<C, R, Req, Res, E> Policy<Req, Res, E> for PolicyFn<C, R>
where
    C: Fn(&Req) -> Option<Req>,
    R: Fn(Result<&Res, &E>) -> bool,
{
    fn clone_request(&self, request: &Req) -> Option<Req> {
        (self.clone_request)(request)
    }

    fn retryable(&self, result: Result<&Res, &E>) -> bool {
        (self.retryable)(result)
    }
}

impl<C, R> fmt::Debug for PolicyFn<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyFn").finish_non_exhaustive()
    }
}

/// For requests that may all be repeated, such as reads: after every
/// [transient](Transient) error.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnTransient;

impl<Req: Clone, Res, E: Transient> Policy<Req, Res, E> for OnTransient {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn retryable(&self, result: Result<&Res, &E>) -> bool {
        result.is_err_and(E::is_transient)
    }
}

/// Errors that know whether another attempt may do better.
pub trait Transient {
    /// Whether another attempt, at another endpoint, may do better.
    fn is_transient(&self) -> bool;
}

/// An endpoint that failed is one of several. That there is none, or that all
/// are busy, is known only after waiting for them, which another attempt would
/// do again.
impl<E> Transient for balance::Error<E> {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Inner(_))
    }
}

/// Below retries a deadline limits one attempt, and the next may be quicker. A
/// deadline that has passed for good ends it all by [`Policy::deadline`] or from
/// outside.
impl<E: Transient> Transient for deadline::Error<E> {
    fn is_transient(&self) -> bool {
        match self {
            Self::DeadlineExceeded => true,
            Self::Malformed(_) => false,
            Self::Inner(error) => error.is_transient(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::deadline::Malformed;

    type Error = deadline::Error<balance::Error<()>>;

    fn retryable(error: &Error) -> bool {
        Policy::<(), (), _>::retryable(&OnTransient, Err(error))
    }

    #[test]
    fn only_what_another_endpoint_may_do_better_is_transient() {
        assert!(retryable(&Error::DeadlineExceeded));
        assert!(retryable(&Error::Inner(balance::Error::Inner(()))));
        assert!(!retryable(&Error::Inner(balance::Error::Overloaded)));
        assert!(!retryable(&Error::Inner(balance::Error::NoEndpoints)));
        assert!(!retryable(&Error::Inner(balance::Error::NoneReady)));
        assert!(!retryable(&Error::Malformed(Malformed::new("x", "y", "z"))));
        assert!(!Policy::<(), (), Error>::retryable(&OnTransient, Ok(&())));
    }
}
