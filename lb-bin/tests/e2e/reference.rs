//! docs/metrics.md, as what is shown has to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::prometheus::Metrics;

/// What the page says of lb-bin's metrics.
pub(crate) struct Reference(BTreeMap<String, Family>);

struct Family {
    kind: String,
    /// The values of each label, if they are few.
    labels: BTreeMap<String, Option<BTreeSet<String>>>,
}

impl Reference {
    pub(crate) fn read() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, rest) = page.split_once("<!-- lb-bin: begin -->").unwrap();
        let (tables, _) = rest.split_once("<!-- lb-bin: end -->").unwrap();
        let rows = tables.lines().filter(|line| line.starts_with("| `"));
        Self(rows.map(|row| read(row).unwrap_or_else(|| panic!("not a row: {row}"))).collect())
    }

    /// Every name.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Whether all that is shown is on the page, with the same kind, labels and values.
    pub(crate) fn has(&self, shown: &Metrics) -> Result<(), String> {
        for (name, kind) in shown.families() {
            let family = self.0.get(name).ok_or_else(|| format!("{name} isn't on the page"))?;
            if family.kind != kind {
                return Err(format!("{name} is a {kind} and not a {}", family.kind));
            }
            for labels in shown.labels(name) {
                if !labels.keys().eq(family.labels.keys()) {
                    return Err(format!("{name} has other labels on the page: {labels:?}"));
                }
                for (label, value) in labels {
                    let values = family.labels[label].as_ref();
                    if values.is_some_and(|values| !values.contains(value)) {
                        return Err(format!("{name}: {label}={value:?} isn't on the page"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// ``| `name` | kind | `label`: `value`, `value`; `label` | help |``
fn read(row: &str) -> Option<(String, Family)> {
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    let [_, name, kind, labels, _help, _] = cells[..] else { return None };
    let quoted = |text: &str| Some(text.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let label = |text: &str| match text.split_once(": ") {
        None => Some((quoted(text)?, None)),
        Some((label, values)) => {
            Some((quoted(label)?, Some(values.split(',').map(quoted).collect::<Option<_>>()?)))
        }
    };
    let labels = labels.split(';').filter(|text| !text.is_empty()).map(label);
    Some((quoted(name)?, Family { kind: kind.to_owned(), labels: labels.collect::<Option<_>>()? }))
}
