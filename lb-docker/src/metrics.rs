//! The metrics that discovery records, by name.
//!
//! Handles are made once, when discovery starts: install the recorder before
//! that.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

/// The value of the label `source` on everything recorded here.
pub const SOURCE: &str = "docker";

/// Counter, by `source` and `type`: events that the engine sent.
pub const EVENTS: &str = "lb_discovery_events_total";

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

/// Tells the recorder what the metrics mean.
pub fn describe() {
    describe_counter!(EVENTS, "Events received from a source of endpoints");
    describe_counter!(RESYNCS, "Complete sets of endpoints taken over from a source");
    describe_counter!(INSPECTS, "Containers inspected");
    describe_gauge!(CONNECTED, "Whether a source of endpoints answers (1) or not (0)");
    describe_gauge!(
        LAST_CONTACT,
        Unit::Seconds,
        "Time since a source of endpoints was last heard of"
    );
}

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
}

impl Metrics {
    pub(crate) fn register() -> Self {
        describe();
        Self {
            resyncs: counter!(RESYNCS, "source" => SOURCE),
            inspects: counter!(INSPECTS, "source" => SOURCE),
            connected: gauge!(CONNECTED, "source" => SOURCE),
            events: TYPES.map(|name| (name, counter!(EVENTS, "source" => SOURCE, "type" => name))),
        }
    }

    /// Counts one event of this type.
    pub(crate) fn event(&self, name: &str) {
        if let Some((_, counter)) = self.events.iter().find(|(known, _)| *known == name) {
            counter.increment(1);
        }
    }
}
