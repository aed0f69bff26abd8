//! What the balancer is told by signals.

use anyhow::Context;
use tokio::signal::unix::{self, SignalKind, signal};

/// Listens from when it is made: what comes early is not lost.
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    at_terminal: bool,
    user: unix::Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM: end, in order.
    Terminate,
    /// SIGINT: somebody at a terminal wants it to end.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the access log anew.
    Reopen,
}

impl Signals {
    /// `at_terminal` says that it lives as long as somebody's terminal, so that
    /// SIGHUP is an interrupt.
    pub(crate) fn new(at_terminal: bool) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            at_terminal,
            user: on(SignalKind::user_defined1())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hang_up.recv() => {
                if self.at_terminal { Signal::Interrupt } else { Signal::Reload }
            }
            _ = self.user.recv() => Signal::Reopen,
        }
    }

    /// Waits for one that says stop, and leaves the others for
    /// [`next`](Self::next).
    pub(crate) async fn stop(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hang_up.recv(), if self.at_terminal => Signal::Interrupt,
        }
    }
}
