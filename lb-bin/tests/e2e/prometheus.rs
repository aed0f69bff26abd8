//! Reads the text format of Prometheus, and forgives nothing.

use std::collections::{BTreeMap, BTreeSet};

/// What a scrape shows.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The kind of each family.
    families: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

pub(crate) type Labels = BTreeMap<String, String>;
pub(crate) type Series = (String, Labels);

impl Metrics {
    /// Each family is announced once, by a HELP and then a TYPE, and its samples
    /// follow at once; no series comes twice.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut metrics = Self::default();
        let mut helped = BTreeSet::new();
        let mut family = None;
        if !text.ends_with('\n') {
            return Err("the last line is not ended".into());
        }
        for line in text.lines().filter(|line| !line.is_empty()) {
            let wrong = |what: &str| format!("{what}: {line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
                if help.is_empty() || !helped.insert(name.to_owned()) {
                    return Err(wrong("an empty or a second HELP"));
                }
                family = None;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
                if !helped.contains(name) {
                    return Err(wrong("TYPE without HELP"));
                }
                if !matches!(kind, "counter" | "gauge" | "histogram") {
                    return Err(wrong("another type"));
                }
                if !name.starts_with("lb_") && !name.starts_with("process_") {
                    return Err(wrong("not ours"));
                }
                if (kind == "counter") != name.ends_with("_total") {
                    return Err(wrong("counters, and only they, end in _total"));
                }
                if metrics.families.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(wrong("a second TYPE"));
                }
                family = Some((name, kind));
            } else if line.starts_with('#') {
                return Err(wrong("another comment"));
            } else {
                let (name, kind) = family.ok_or_else(|| wrong("a sample outside its family"))?;
                let (series, value) = sample(line).ok_or_else(|| wrong("not a sample"))?;
                let suffix = series.0.strip_prefix(name);
                let suffixes: &[_] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                    return Err(wrong("a sample of another family"));
                }
                if kind != "gauge" && value < 0.0 {
                    return Err(wrong("less than nothing"));
                }
                if metrics.samples.insert(series, value).is_some() {
                    return Err(wrong("a series that came before"));
                }
            }
        }
        metrics.histograms_add_up()?;
        Ok(metrics)
    }

    /// The sum of the samples of this name that carry these labels among
    /// others.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name)
            .filter(|(of, _)| {
                labels.iter().all(|(key, value)| of.get(*key).is_some_and(|of| of == value))
            })
            .map(|(_, value)| value)
            .sum()
    }

    /// The same of what is counted.
    #[track_caller]
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        sum.to_string().parse().unwrap_or_else(|_| panic!("{name}{labels:?} is {sum}"))
    }

    /// The samples of this name.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let named = self.samples.iter().filter(move |((of, _), _)| of == name);
        named.map(|((_, labels), value)| (labels, *value))
    }

    /// Every value of this label, in whichever series.
    pub(crate) fn values(&self, label: &str) -> BTreeSet<&str> {
        self.samples
            .keys()
            .filter_map(|(_, labels)| labels.get(label))
            .map(String::as_str)
            .collect()
    }

    /// The name and the kind of each family.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&str, &str)> {
        self.families.iter().map(|(name, kind)| (name.as_str(), kind.as_str()))
    }

    /// The labels of each series of a family, but for the bounds of buckets.
    pub(crate) fn labels<'a>(&'a self, family: &'a str) -> impl Iterator<Item = &'a Labels> {
        let is_histogram = self.families.get(family).is_some_and(|kind| kind == "histogram");
        let of = if is_histogram { format!("{family}_count") } else { family.to_owned() };
        self.samples.keys().filter(move |(name, _)| *name == of).map(|(_, labels)| labels)
    }

    /// Every series.
    pub(crate) fn series(&self) -> BTreeSet<Series> {
        self.samples.keys().cloned().collect()
    }

    fn histograms_add_up(&self) -> Result<(), String> {
        for (name, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            for (labels, count) in self.of(&format!("{name}_count")) {
                let mut buckets = Vec::new();
                for (of, value) in self.of(&format!("{name}_bucket")) {
                    let mut of = of.clone();
                    let bound = of.remove("le").and_then(|le| number(&le));
                    if of == *labels {
                        buckets.push((bound.ok_or_else(|| format!("{name}: no bound"))?, value));
                    }
                }
                buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                let growing = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                if !growing || buckets.last() != Some(&(f64::INFINITY, count)) {
                    return Err(format!("{name}{labels:?}: {count} are not {buckets:?}"));
                }
            }
        }
        Ok(())
    }
}

/// `name{key="value",…} number`
fn sample(line: &str) -> Option<(Series, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (series, Labels::new()),
    };
    is_name(name).then_some(((name.to_owned(), labels), number(value)?))
}

fn labels(mut text: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut rest = rest.chars();
        loop {
            match rest.next()? {
                '"' => break,
                '\\' => value.push(match rest.next()? {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                }),
                c => value.push(c),
            }
        }
        if !is_name(key) || labels.insert(key.to_owned(), value).is_some() {
            return None;
        }
        text = rest.as_str();
        if !text.is_empty() {
            text = text.strip_prefix(',')?;
        }
    }
    Some(labels)
}

fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(legal) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        text => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}
