//! Numbers as people read them at a glance.

use crate::terminal::{answers::Docker, text::age};

use super::model::View;

/// Something a second: three digits are enough.
pub(super) fn rate(number: f64) -> String {
    match number {
        n if n >= 9_999.5 => format!("{:.1}k", n / 1000.0),
        n if n >= 9.95 => format!("{n:.0}"),
        n if n > 0.0 => format!("{n:.1}"),
        _ => "0".into(),
    }
}

/// A time, given in milliseconds.
pub(super) fn time(ms: Option<f64>) -> String {
    match ms {
        None => "-".into(),
        Some(ms) if ms >= 999.5 => format!("{:.1}s", ms / 1000.0),
        Some(ms) if ms >= 9.95 => format!("{ms:.0}ms"),
        Some(ms) => format!("{ms:.1}ms"),
    }
}

/// What there is to say of all together.
pub(super) fn summary(view: &View) -> Vec<String> {
    let View { traffic, .. } = view;
    let total = &traffic.total;
    let endpoints = || view.endpoints().services.iter().flat_map(|service| &service.endpoints);
    let ready = endpoints().filter(|one| one.state == "ready").count();
    vec![
        format!("{} requests/s", rate(total.rate)),
        format!("{} errors/s", rate(total.errors)),
        format!("p50 {}", time(total.p50)),
        format!("p99 {}", time(total.p99)),
        match traffic.connections {
            1 => "1 connection".into(),
            n => format!("{n} connections"),
        },
        format!("{ready} of {} ready", endpoints().count()),
    ]
}

/// How long the balancer has run, if that is known.
pub(super) fn uptime(view: &View) -> Option<String> {
    let seconds = view.traffic.at - view.state.started;
    let known = view.state.started > 0.0 && seconds >= 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "known")]
    known.then(|| format!("up {}", age(seconds as u64)))
}

/// Of the engine, and whether all is well with it.
pub(super) fn engine(view: &View) -> Option<(String, bool)> {
    let docker = view.endpoints().docker.as_ref()?;
    Some((docker.line(), Docker::is_fine(docker)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (number, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (0.25, "0.2"),
            (9.96, "10"),
            (102.5, "102"),
            (9_999.0, "9999"),
            (12_345.0, "12.3k"),
        ] {
            assert_eq!(rate(number), text);
        }
        for (ms, text) in [
            (None, "-"),
            (Some(0.05), "0.1ms"),
            (Some(9.96), "10ms"),
            (Some(999.0), "999ms"),
            (Some(1240.0), "1.2s"),
        ] {
            assert_eq!(time(ms), text);
        }
    }
}
