//! The tables of docs/metrics.md, made of those that the recorder is told.

use std::{env, fmt::Write, fs, path::PathBuf};

use app_bin::{METRICS, MetricKind};
use lb_core::metrics::{Description, Kind, Label, Topic, Values};

const PAGE: &str = "docs/metrics.md";

/// Says that the page is to be written anew, which `make metrics-doc` does.
const WRITE: &str = "LB_METRICS_DOC";

#[test]
fn the_reference_says_what_the_code_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let written = fs::read_to_string(&path).unwrap();
    let made = page(&written);
    if env::var_os(WRITE).is_some() {
        fs::write(&path, made).unwrap();
        return;
    }
    assert!(written == made, "{PAGE} is out of date: run `make metrics-doc`");
}

#[test]
fn names_and_descriptions_keep_the_rules() {
    let mut names: Vec<_> = super::all().map(|metric| metric.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "one is described twice: {names:?}");
    for Description { name, kind, unit, labels, buckets, help, .. } in super::all() {
        let counts = *kind == Kind::Counter;
        assert_eq!(counts, name.ends_with("_total"), "{name}: counters, and only they");
        let base = name.strip_suffix("_total").unwrap_or(name);
        if let Some(unit) = unit {
            let unit = unit.as_str();
            assert!(base.ends_with(unit), "{name}: the unit is the end of the name: {unit}");
        }
        assert_eq!(*kind == Kind::Histogram, !buckets.is_empty(), "{name}: histograms alone");
        assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name}: {buckets:?}");
        assert!(help.ends_with('.') && !help.contains(['\n', '|']), "{name}: {help}");
        for Label { name: label, values, .. } in *labels {
            let bounded = match values {
                Values::OneOf(values) => !values.is_empty(),
                Values::Each(of) => !of.is_empty(),
            };
            assert!(bounded, "{name}: what bounds {label}?");
        }
    }
}

/// The page as it was written, with the tables as they are.
fn page(written: &str) -> String {
    let tables = [("lb-bin", of_the_balancer()), ("app-bin", of_the_app()), ("buckets", buckets())];
    tables.into_iter().fold(written.to_owned(), |page, (name, table)| put(&page, name, &table))
}

/// Puts a table between its markers.
fn put(page: &str, name: &str, table: &str) -> String {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = parts.unwrap_or_else(|| panic!("{PAGE} has no {begin} with its end"));
    format!("{before}{begin}\n{table}{end}{after}")
}

fn of_the_balancer() -> String {
    let mut text = String::new();
    for topic in Topic::ALL {
        let about: Vec<_> = super::all().filter(|metric| metric.topic == topic).collect();
        if about.is_empty() {
            continue;
        }
        let _ = write!(text, "\n### {}\n\n{HEAD}", topic.title());
        for metric in about {
            let labels: Vec<_> = metric.labels.iter().map(label).collect();
            row(&mut text, metric.name, metric.kind.name(), &labels.join("; "), metric.help);
        }
    }
    text + "\n"
}

fn of_the_app() -> String {
    let mut text = HEAD.to_owned();
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => Kind::Counter,
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Histogram => Kind::Histogram,
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        row(&mut text, metric.name, kind.name(), &labels.join("; "), metric.help);
    }
    text
}

fn buckets() -> String {
    let ours = super::all().filter(|metric| metric.kind == Kind::Histogram);
    let ours = ours.map(|metric| (metric.name, metric.buckets));
    let apps = [(app_bin::DURATION_METRIC, &app_bin::DURATION_BUCKETS[..])];
    let mut text = "| histogram | upper bounds in seconds |\n|---|---|\n".to_owned();
    for (name, bounds) in ours.chain(apps) {
        let bounds: Vec<_> = bounds.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| `{name}` | {} |", bounds.join(", "));
    }
    text
}

const HEAD: &str = "| metric | kind | labels | |\n|---|---|---|---|\n";

fn row(page: &mut String, name: &str, kind: &str, labels: &str, help: &str) {
    let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
}

fn label(label: &Label) -> String {
    match label.values {
        Values::OneOf(values) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(", "))
        }
        Values::Each(_) => format!("`{}`", label.name),
    }
}
