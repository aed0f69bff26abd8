//! One container: what is known of it, and how much of that still holds.

use std::time::{Duration, Instant};

use lb_core::{endpoint::Endpoint, registry::Registration};

use crate::{
    container::{Container, Health, Run, Summary},
    event::Happened,
    network::Vantage,
    options::LabelFilter,
    register::{Going, register},
};

/// A list that began within this time of an event may not show it yet.
const LIST_LAG: Duration = Duration::from_millis(500);

/// The engine's time between the signal to stop and the kill, where the
/// container doesn't set its own.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than that who still runs is taken back.
const STOP_MARGIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// As last inspected, with what events have said since.
    pub(super) container: Option<Container>,
    pub(super) phase: Phase,
    /// When an event last spoke of it.
    pub(super) spoken: Option<Instant>,
    pub(super) inspection: Inspection,
    /// As last given out.
    pub(super) given: Option<Endpoint<Registration>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Phase {
    /// What the inspection shows.
    #[default]
    On,
    /// It was told to leave and should be gone by then.
    Leaving { until: Instant },
    /// It has ended.
    Ended { since: Instant, code: Option<i64> },
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Inspection {
    #[default]
    Idle,
    /// Asked for then; `stale` once an event has overtaken it.
    Asked { at: Instant, stale: bool },
    /// The last one failed then.
    Failed { at: Instant },
}

impl Entry {
    /// Takes in an event; true if the container is to be inspected.
    pub(super) fn happened(&mut self, happened: Happened, at: Instant) -> bool {
        let ended = matches!(self.phase, Phase::Ended { .. });
        match (happened, &mut self.container) {
            (Happened::Start, container) => {
                // It has another address now: what is known of it is that of
                // the run before.
                if let (Phase::Ended { code, .. }, Some(container)) = (self.phase, container) {
                    container.run = Run::Ended(code);
                }
                self.phase = Phase::On;
                true
            }
            (Happened::Kill(signal), container) if !ended => {
                let container = container.as_ref();
                let stop = container.and_then(|container| container.stop_signal);
                if signal.is_none_or(|signal| signal.leaves(stop)) {
                    let timeout = container.and_then(|container| container.stop_timeout);
                    let until = at + timeout.unwrap_or(STOP_TIMEOUT) + STOP_MARGIN;
                    self.phase = Phase::Leaving { until };
                }
                // Who is told before it was inspected may have another signal
                // to stop on, and still has hosts to tell.
                container.is_none()
            }
            (Happened::Die(code), _) => {
                self.phase = Phase::Ended { since: at, code };
                self.overtake();
                false
            }
            (Happened::Pause, Some(container)) => {
                container.run = Run::Paused;
                self.overtake();
                false
            }
            (Happened::Health(health), Some(container)) => {
                // What the check printed is in the inspection only.
                let inspect = matches!(health, Health::Unhealthy(_));
                container.health = health;
                self.overtake();
                inspect
            }
            (Happened::Oom, _) => false,
            // An ended container loses its networks; its start says more.
            (Happened::Network | Happened::Kill(_), _) if ended => false,
            _ => true,
        }
    }

    /// An event tells more than the inspection under way.
    fn overtake(&mut self) {
        if let Inspection::Asked { stale, .. } = &mut self.inspection {
            *stale = true;
        }
    }

    /// Takes in an inspection that was asked for after the newest event.
    pub(super) fn found(&mut self, container: Container, asked: Instant, now: Instant) {
        self.phase = match (self.phase, container.run) {
            (ended @ Phase::Ended { .. }, Run::Ended(_)) => ended,
            (_, Run::Ended(code)) => Phase::Ended { since: now, code },
            (Phase::Leaving { until }, _) if asked < until => Phase::Leaving { until },
            // The engine may say for a moment more that it runs.
            (Phase::Ended { since, code }, _) if asked < since + LIST_LAG => {
                Phase::Ended { since, code }
            }
            _ => Phase::On,
        };
        self.container = Some(container);
    }

    /// Whether a list that began then and shows this asks for an inspection.
    pub(super) fn contradicted(&self, summary: &Summary, began: Instant) -> bool {
        let Some(container) = &self.container else {
            return !matches!(self.inspection, Inspection::Asked { .. }) && self.older_than(began);
        };
        // What was left unanswered when the connection was lost.
        if let Inspection::Failed { .. } = self.inspection {
            return true;
        }
        self.older_than(began)
            && match self.phase {
                Phase::On => summary.contradicts(container),
                Phase::Leaving { .. } => false,
                Phase::Ended { .. } => matches!(summary.run, Run::Running | Run::Paused),
            }
    }

    /// Whether a list that began then knows of every event.
    pub(super) fn older_than(&self, began: Instant) -> bool {
        self.spoken.is_none_or(|spoken| began > spoken + LIST_LAG)
    }

    pub(super) fn endpoint(
        &self,
        vantage: &Vantage,
        filters: &[LabelFilter],
    ) -> Option<Endpoint<Registration>> {
        let container = self.container.as_ref()?;
        if !filters.iter().all(|filter| filter.passes(container.label(&filter.key))) {
            return None;
        }
        let going = match self.phase {
            Phase::On => Going::On,
            Phase::Leaving { .. } => Going::Out,
            Phase::Ended { code, .. } => Going::Gone(code),
        };
        Some(register(container, going, vantage))
    }
}
