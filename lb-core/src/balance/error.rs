use std::{error, fmt};

/// Why a request got no answer from a [`Balance`](super::Balance).
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// There is no endpoint: discovery has said so, or has said nothing yet. Given
    /// when the time a request may wait is over, as there may have been one soon.
    NoEndpoints,
    /// There are endpoints, and none became ready within the time a request may
    /// wait.
    NoneReady,
    /// Every endpoint that is ready has as many requests in flight as it may
    /// have, and none got room within the time a request may wait; or so many
    /// requests wait already that no more may.
    Overloaded,
    /// The endpoint that was picked answered with an error.
    Inner(E),
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoints => "no endpoint is known",
            Self::NoneReady => "no endpoint is ready",
            Self::Overloaded => "every endpoint is busy",
            Self::Inner(_) => "the endpoint failed",
        })
    }
}

impl<E: error::Error + 'static> error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Inner(error) => Some(error),
            Self::NoEndpoints | Self::NoneReady | Self::Overloaded => None,
        }
    }
}
