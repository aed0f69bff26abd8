use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::Options;
use crate::registry::NotFound;

/// Steers a running [`Proxy`](super::Proxy), through its
/// [`Driver`](super::Driver). Cheap to clone.
///
/// What is asked of a driver that has ended has no effect, and ends in
/// [`DrainError::Stopped`] where it can say so.
#[derive(Clone, Debug)]
pub struct Controls(mpsc::UnboundedSender<Command>);

/// What a driver is told.
#[derive(Debug)]
pub(super) enum Command {
    Drain { who: String, drained: bool, reply: oneshot::Sender<Drained> },
    Reload { options: Box<Options>, reply: oneshot::Sender<()> },
}

pub(super) type Drained = Result<Vec<Arc<str>>, NotFound>;

/// Why an endpoint can't be drained, or used again.
#[derive(Debug)]
#[non_exhaustive]
pub enum DrainError {
    /// Not one endpoint is meant by this.
    NotFound(NotFound),
    /// The proxy's driver has ended.
    Stopped,
}

impl Controls {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, commanded) = mpsc::unbounded_channel();
        (Self(commands), commanded)
    }

    /// Gives an endpoint no new requests until it is [used again](Self::undrain)
    /// or gone. Those it has, it finishes.
    ///
    /// `who` is its name or its identity; of an identity in hexadecimal digits the
    /// beginning will do, 4 digits or more. Returns the names of all that are
    /// meant: a name may be known to several sources.
    ///
    /// # Errors
    ///
    /// No routed endpoint is meant, or several are by what they begin with; or
    /// the driver has ended.
    pub async fn drain(&self, who: &str) -> Result<Vec<Arc<str>>, DrainError> {
        self.set_drained(who, true).await
    }

    /// Uses again what was [drained](Self::drain).
    ///
    /// # Errors
    ///
    /// As for [`drain`](Self::drain).
    pub async fn undrain(&self, who: &str) -> Result<Vec<Arc<str>>, DrainError> {
        self.set_drained(who, false).await
    }

    /// Takes these options from now on, but for
    /// [`workers`](Options::workers), [`access_log`](Options::access_log) and
    /// [`pressure`](Options::pressure).
    /// Returns once new requests are served by them; no endpoint is forgotten, and no
    /// connection is closed but those by TLS to endpoints, once they are idle: they may
    /// have been verified by other authorities.
    pub async fn reload(&self, options: Options) {
        let (reply, done) = oneshot::channel();
        let _ = self.0.send(Command::Reload { options: Box::new(options), reply });
        // Fails when the driver has ended: there is nobody left to reload.
        let _ = done.await;
    }

    async fn set_drained(&self, who: &str, drained: bool) -> Result<Vec<Arc<str>>, DrainError> {
        let (reply, done) = oneshot::channel();
        let _ = self.0.send(Command::Drain { who: who.to_owned(), drained, reply });
        done.await.map_err(|_| DrainError::Stopped)?.map_err(DrainError::NotFound)
    }
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(error) => error.fmt(f),
            Self::Stopped => f.write_str("the balancer is stopping"),
        }
    }
}

impl std::error::Error for DrainError {}
