//! The signals the server listens to.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGINT: end at once.
    Interrupt,
    /// SIGTERM: end as configured.
    Terminate,
    /// SIGUSR1: flip the health.
    FlipHealth,
}

/// Handlers of the signals.
///
/// As process 1 of a container the server has no default handlers, and a signal
/// without a handler is lost: they are installed first of all.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    flip: unix::Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    ///
    /// The system refuses a handler.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            flip: unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// The next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            biased;
            Some(()) = self.interrupt.recv() => Order::Interrupt,
            Some(()) = self.terminate.recv() => Order::Terminate,
            Some(()) = self.flip.recv() => Order::FlipHealth,
            // Signals come as long as the runtime runs.
            else => std::future::pending().await,
        }
    }
}
