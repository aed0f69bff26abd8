//! What this program records beside the libraries, and everything it shows.

use anyhow::Context;
use lb_core::{
    metrics::{
        Description, Label,
        Topic::{Configuration, Listeners, Process, Tls, Traces},
    },
    server::Closed,
};
use metrics::{Recorder, Unit};

#[cfg(test)]
mod reference;

pub(crate) const CONNECTIONS: &str = "lb_client_connections";
pub(crate) const CONNECTIONS_LIMIT: &str = "lb_client_connections_limit";
pub(crate) const ACCEPTED: &str = "lb_client_connections_accepted_total";
pub(crate) const CLOSED: &str = "lb_client_connections_closed_total";
pub(crate) const MEMORY: &str = "lb_memory_bytes";
pub(crate) const MEMORY_LIMIT: &str = "lb_memory_limit_bytes";
pub(crate) const WORKERS: &str = "lb_workers";
pub(crate) const BUILD: &str = "lb_build_info";
pub(crate) const CERTIFICATE_EXPIRY: &str = "lb_certificate_expiry_timestamp_seconds";
pub(crate) const CERTIFICATE_PROBLEMS: &str = "lb_certificate_problems";
pub(crate) const TRACES: &str = "lb_traces_exported_total";
pub(crate) const RELOADS: &str = "lb_config_reloads_total";
pub(crate) const LAST_RELOAD: &str = "lb_config_last_reload_success_timestamp_seconds";

const CLOSED_FOR: [&str; Closed::ALL.len()] = {
    let mut reasons = [""; Closed::ALL.len()];
    let mut at = 0;
    while at < reasons.len() {
        reasons[at] = Closed::ALL[at].reason();
        at += 1;
    }
    reasons
};

/// What is recorded here, by this program alone.
pub(crate) const OWN: &[Description] = &[
    Description::gauge(
        Tls,
        CERTIFICATE_EXPIRY,
        "When a certificate expires that is served, in Unix time.",
    )
    .of(Unit::Seconds)
    .by(&[Label::each("certificate", "certificates in the folder")]),
    Description::gauge(
        Tls,
        CERTIFICATE_PROBLEMS,
        "What is wrong with files of certificates, in numbers; /certificates says what.",
    ),
    Description::gauge(Listeners, CONNECTIONS, "Connections of clients that are open."),
    Description::gauge(
        Listeners,
        CONNECTIONS_LIMIT,
        "Connections of clients that may be open at once.",
    ),
    Description::counter(Listeners, ACCEPTED, "Connections of clients that were accepted."),
    Description::counter(
        Listeners,
        CLOSED,
        "Connections of clients that were closed for what the client did or didn't do, or not served, by reason.",
    )
    .by(&[Label::one_of("reason", &CLOSED_FOR)]),
    Description::gauge(Listeners, MEMORY, "Memory used, of what is limited; 0 without a limit.")
        .of(Unit::Bytes),
    Description::gauge(Listeners, MEMORY_LIMIT, "Memory that may be used; 0 without a limit.")
        .of(Unit::Bytes),
    Description::counter(
        Traces,
        TRACES,
        "Requests that were traced, by what became of their spans: the collector has taken them, or didn't, or more were waiting to be sent than there is room for.",
    )
    .by(&[Label::one_of("outcome", &["ok", "failed", "dropped"])]),
    Description::counter(
        Configuration,
        RELOADS,
        "Times the configuration was to be read again, and what came of it.",
    )
    .by(&[Label::one_of("outcome", &["ok", "invalid"])]),
    Description::gauge(
        Configuration,
        LAST_RELOAD,
        "When a configuration was last read that is in force, in Unix time.",
    )
    .of(Unit::Seconds),
    Description::gauge(Process, BUILD, "Always 1; its label says which version runs.")
        .by(&[Label::each("version", "versions: the one that runs")]),
    Description::gauge(Process, WORKERS, "Threads that serve requests, each with a loop of its own."),
];

/// Everything that is shown.
pub(crate) fn all() -> impl Iterator<Item = &'static Description> {
    [lb_core::metrics::ALL, lb_docker::metrics::ALL, OWN, crate::process::ALL].into_iter().flatten()
}

/// Has this recorder told everything from now on, unless nobody could read it: then
/// nothing is recorded.
pub(crate) fn record(
    recorder: impl Recorder + Send + Sync + 'static,
    is_readable: bool,
) -> anyhow::Result<()> {
    if is_readable {
        metrics::set_global_recorder(recorder).context("can't install metrics")?;
        all().for_each(Description::describe);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use metrics::NoopRecorder;

    use super::record;
    use crate::series::Series;

    #[test]
    fn what_nobody_can_read_is_not_recorded() {
        let (recorder, _series) = Series::new([]);
        record(recorder, false).unwrap();
        // There can be only one; so there was none. This one does nothing.
        metrics::set_global_recorder(NoopRecorder).unwrap();
    }
}
