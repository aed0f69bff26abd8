//! The text format of Prometheus, version 0.0.4, for what isn't the exporter's.

use std::fmt::Write;

use metrics::Key;
use metrics_exporter_prometheus::formatting::{
    sanitize_label_key, sanitize_label_value, write_help_line, write_type_line,
};

use super::histogram::Snapshot;

/// Begins a family.
pub(super) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    write_help_line(text, name, None, None, help);
    write_type_line(text, name, None, None, kind);
}

/// The only sample of a family.
pub(super) fn single(text: &mut String, name: &str, value: f64) {
    let _ = writeln!(text, "{name} {value}");
}

/// The samples of one histogram.
pub(super) fn histogram(text: &mut String, key: &Key, seen: &Snapshot) {
    let name = key.name();
    let labels: Vec<_> = key
        .labels()
        .map(|label| {
            let (key, value) =
                (sanitize_label_key(label.key()), sanitize_label_value(label.value()));
            format!("{key}=\"{value}\"")
        })
        .collect();
    let labels = labels.join(",");
    let (before, around) = match &*labels {
        "" => (String::new(), String::new()),
        labels => (format!("{labels},"), format!("{{{labels}}}")),
    };
    for (bound, count) in &seen.buckets {
        let _ = writeln!(text, "{name}_bucket{{{before}le=\"{bound}\"}} {count}");
    }
    let Snapshot { count, sum, .. } = seen;
    let _ = writeln!(text, "{name}_bucket{{{before}le=\"+Inf\"}} {count}");
    let _ = writeln!(text, "{name}_sum{around} {sum}");
    let _ = writeln!(text, "{name}_count{around} {count}");
}
