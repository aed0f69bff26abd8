//! The life of a server, from serving to drained or stopped.

use std::time::Duration;

use tokio::sync::watch;

/// Where in its life a server is. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// It accepts connections.
    Serving,
    /// It finishes what it has, for at most this long.
    Draining(Duration),
    /// It drops what it has.
    Stopped,
}

/// The phase of one server, and who is still at work in it.
///
/// Whoever works for the server, such as a connection, holds a [`Member`]: it
/// learns the phase from it, and is counted by it until it drops it.
#[derive(Debug)]
pub(crate) struct Lifecycle(watch::Sender<Phase>);

impl Lifecycle {
    /// A life that begins, without members.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    /// Joins the members.
    pub(crate) fn join(&self) -> Member {
        Member(self.0.subscribe())
    }

    /// Number of members.
    pub(crate) fn members(&self) -> usize {
        self.0.receiver_count()
    }

    /// Begins to drain, unless that or more has begun already.
    pub(crate) fn drain(&self, timeout: Duration) {
        self.0.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining(timeout);
            }
            serving
        });
    }

    /// Ends the life.
    pub(crate) fn stop(&self) {
        self.0.send_replace(Phase::Stopped);
    }

    /// The phase at this moment.
    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until there is no member.
    pub(crate) async fn left_by_all(&self) {
        self.0.closed().await;
    }
}

/// One that works for the server.
#[derive(Debug)]
pub(crate) struct Member(watch::Receiver<Phase>);

impl Member {
    /// Waits until the server no longer serves; returns what it does instead.
    /// Cancel safe.
    pub(crate) async fn until_not_serving(&mut self) -> Phase {
        self.until(|phase| *phase != Phase::Serving).await
    }

    /// Waits until the server has stopped. Cancel safe.
    pub(crate) async fn until_stopped(&mut self) {
        self.until(|phase| *phase == Phase::Stopped).await;
    }

    async fn until(&mut self, reached: impl FnMut(&Phase) -> bool) -> Phase {
        // Without its lifecycle nobody is left to say more: the end, too.
        self.0.wait_for(reached).await.map_or(Phase::Stopped, |phase| *phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn moves_forward_only() {
        let life = Lifecycle::new();
        assert_eq!(life.phase(), Phase::Serving);
        life.drain(LONG);
        life.drain(Duration::ZERO);
        assert_eq!(life.phase(), Phase::Draining(LONG));
        life.stop();
        life.drain(LONG);
        assert_eq!(life.phase(), Phase::Stopped);
    }

    #[tokio::test]
    async fn members_learn_the_phase() {
        let life = Lifecycle::new();
        let mut member = life.join();
        life.drain(LONG);
        assert_eq!(member.until_not_serving().await, Phase::Draining(LONG));
        life.stop();
        member.until_stopped().await;
    }

    #[tokio::test]
    async fn members_are_counted_until_they_leave() {
        let life = Lifecycle::new();
        life.left_by_all().await;
        let member = life.join();
        assert_eq!(life.members(), 1);
        drop(member);
        life.left_by_all().await;
    }
}
