use std::{fmt, time::Duration};

use super::{CheckError, Reason};
use crate::endpoint::EndpointId;

/// What a [`Monitor`](super::Monitor) has found and acted upon.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An endpoint passes its checks: for the first time, or again.
    Healthy {
        /// Who.
        id: &'a EndpointId,
    },
    /// An endpoint fails its checks.
    Unhealthy {
        /// Who.
        id: &'a EndpointId,
        /// What the last check found.
        reason: &'a CheckError,
    },
    /// An endpoint is an outlier.
    Ejected {
        /// Who.
        id: &'a EndpointId,
        /// In what.
        reason: Reason,
        /// For how long, at most.
        duration: Duration,
    },
    /// An ejection is over.
    Returned {
        /// Whose.
        id: &'a EndpointId,
    },
    /// Too few endpoints are healthy: from now on health is ignored.
    PanicBegan {
        /// Endpoints that are healthy, or not checked yet, and not ejected.
        good: usize,
        /// Endpoints that their source wants used.
        wanted: usize,
    },
    /// Enough endpoints are healthy again.
    PanicEnded {
        /// Endpoints that are healthy, or not checked yet, and not ejected.
        good: usize,
        /// Endpoints that their source wants used.
        wanted: usize,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy { id } => write!(f, "{id} is healthy"),
            Self::Unhealthy { id, reason } => write!(f, "{id} is unhealthy: {reason}"),
            Self::Ejected { id, reason, duration } => {
                write!(f, "{id} is ejected for {duration:?}: {reason}")
            }
            Self::Returned { id } => write!(f, "{id} is back from its ejection"),
            Self::PanicBegan { good, wanted } => {
                write!(f, "only {good} of {wanted} endpoints are healthy: all of them are used")
            }
            Self::PanicEnded { good, wanted } => {
                write!(f, "{good} of {wanted} endpoints are healthy again: the others are spared")
            }
        }
    }
}

impl Event<'_> {
    /// Writes it to the log: what takes endpoints out of use is a warning.
    pub(super) fn log(&self) {
        match self {
            Self::Healthy { .. } | Self::Returned { .. } | Self::PanicEnded { .. } => {
                tracing::info!("{self}");
            }
            Self::Unhealthy { .. } | Self::Ejected { .. } | Self::PanicBegan { .. } => {
                tracing::warn!("{self}");
            }
        }
    }
}
