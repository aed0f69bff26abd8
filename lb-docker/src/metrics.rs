//! The metrics that discovery records, by name.
//!
//! Handles are made once, when discovery starts: install the recorder before
//! that.

use std::time::SystemTime;

use lb_core::metrics::{Description, Label, Topic::Discovery};
use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

/// The value of the label `source` on everything recorded here.
pub const SOURCE: &str = "docker";

/// Counter, by `source` and `type`: events that the engine sent.
pub const EVENTS: &str = "lb_discovery_events_total";

/// Histogram, by `source`: seconds from the engine's time stamp of an event to what
/// it means being given out.
pub const EVENT_LAG: &str = "lb_discovery_event_lag_seconds";

/// Counter, by `source`: complete sets given out, after the start and after
/// each reconnection.
pub const RESYNCS: &str = "lb_discovery_resyncs_total";

/// Counter, by `source`: containers inspected.
pub const INSPECTS: &str = "lb_discovery_inspects_total";

/// Gauge, by `source`: 1 while the engine answers, else 0.
pub const CONNECTED: &str = "lb_discovery_connected";

/// Gauge, by `source`: seconds since the engine was last heard of.
///
/// It grows while nothing happens, so only who renders the metrics can record
/// it: from [`Status::since_contact`](crate::Status::since_contact), at each
/// scrape.
pub const LAST_CONTACT: &str = "lb_discovery_last_contact_seconds";

/// Seconds, from an event that says all to one that takes an inspection of a busy
/// engine.
const LAG: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Everything that is recorded here.
pub const ALL: &[Description] = &[
    Description::gauge(
        Discovery,
        CONNECTED,
        "Whether a source of endpoints answers (1) or not (0).",
    )
    .by(&[BY_SOURCE]),
    Description::gauge(
        Discovery,
        LAST_CONTACT,
        "Time since a source of endpoints was last heard of; it is asked every two seconds.",
    )
    .of(Unit::Seconds)
    .by(&[BY_SOURCE]),
    Description::counter(Discovery, EVENTS, "Events received from a source of endpoints.")
        .by(&[BY_SOURCE, Label::one_of("type", &TYPES)]),
    Description::seconds(
        Discovery,
        EVENT_LAG,
        LAG,
        "Time from the source's time stamp of an event to what it means being given out, with the inspection that takes.",
    )
    .by(&[BY_SOURCE]),
    Description::counter(
        Discovery,
        RESYNCS,
        "Complete sets of endpoints taken over from a source, after the start and after each reconnection.",
    )
    .by(&[BY_SOURCE]),
    Description::counter(Discovery, INSPECTS, "Containers inspected.").by(&[BY_SOURCE]),
];

/// Tells the recorder in force what the metrics mean. Call it once, when the
/// recorder is installed.
pub fn describe() {
    ALL.iter().for_each(Description::describe);
}

const BY_SOURCE: Label = Label::one_of("source", &[SOURCE]);

/// The names of the events counted, each a value of the label `type`.
const TYPES: [&str; 11] = [
    "start", "kill", "die", "oom", "pause", "unpause", "destroy", "health", "change", "network",
    "reload",
];

/// What is recorded, with nothing left to look up.
pub(crate) struct Metrics {
    pub(crate) resyncs: Counter,
    pub(crate) inspects: Counter,
    pub(crate) connected: Gauge,
    events: [(&'static str, Counter); TYPES.len()],
    lag: Histogram,
}

impl Metrics {
    pub(crate) fn register() -> Self {
        Self {
            resyncs: counter!(RESYNCS, "source" => SOURCE),
            inspects: counter!(INSPECTS, "source" => SOURCE),
            connected: gauge!(CONNECTED, "source" => SOURCE),
            events: TYPES.map(|name| (name, counter!(EVENTS, "source" => SOURCE, "type" => name))),
            lag: histogram!(EVENT_LAG, "source" => SOURCE),
        }
    }

    /// Counts one event of this type.
    pub(crate) fn event(&self, name: &str) {
        if let Some((_, counter)) = self.events.iter().find(|(known, _)| *known == name) {
            counter.increment(1);
        }
    }

    /// What was stamped then has been taken into account now.
    pub(crate) fn lag(&self, stamped: SystemTime) {
        // Clocks of two machines differ.
        self.lag.record(stamped.elapsed().unwrap_or_default());
    }
}
