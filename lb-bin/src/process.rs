//! What the system says of this process.

use lb_core::metrics::{Description, Topic::Process};
use metrics::Unit;
use metrics_process::collector::{self, Metrics};

/// What [`read`] reads, in its order.
pub(crate) const ALL: &[Description] = &[
    Description::counter(
        Process,
        "process_cpu_seconds_total",
        "Processor time used, in user and system mode.",
    )
    .of(Unit::Seconds),
    Description::gauge(Process, "process_resident_memory_bytes", "Memory that is resident.")
        .of(Unit::Bytes),
    Description::gauge(Process, "process_virtual_memory_bytes", "Memory that is mapped.")
        .of(Unit::Bytes),
    Description::gauge(
        Process,
        "process_virtual_memory_max_bytes",
        "Memory that may be mapped; 0 without a limit.",
    )
    .of(Unit::Bytes),
    Description::gauge(Process, "process_open_fds", "File descriptors that are open."),
    Description::gauge(Process, "process_max_fds", "File descriptors that may be open."),
    Description::gauge(Process, "process_threads", "Threads."),
    Description::gauge(
        Process,
        "process_start_time_seconds",
        "When the process was started, in Unix time.",
    )
    .of(Unit::Seconds),
];

/// What can be read now.
///
/// Not through the recorder: its counters are whole numbers, and of processor time
/// the parts of a second matter.
pub(crate) fn read() -> impl Iterator<Item = (&'static Description, f64)> {
    let now: Metrics = collector::collect();
    let count = |number: Option<u64>| number.map(|number| number as f64);
    let values = [
        now.cpu_seconds_total,
        count(now.resident_memory_bytes),
        count(now.virtual_memory_bytes),
        count(now.virtual_memory_max_bytes),
        count(now.open_fds),
        count(now.max_fds),
        count(now.threads),
        count(now.start_time_seconds),
    ];
    ALL.iter().zip(values).filter_map(|(description, value)| Some((description, value?)))
}
