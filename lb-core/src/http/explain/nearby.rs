//! What somebody may have meant who asks for a host that nothing answers for.

use std::sync::Arc;

use crate::{
    endpoint::State,
    registry::{HostPattern, Problem, Unrouted},
};

/// Something close to the host that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Near {
    /// The service, or the endpoint that no service includes.
    pub name: Arc<str>,
    /// What it has to do with the host.
    pub nearness: Nearness,
    /// What stands between the two.
    pub why: String,
}

/// What something has to do with a host that nothing answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Nearness {
    /// A service answers for a similar host.
    Similar,
    /// An endpoint has settings that can't be used, and may ask for this host.
    Quarantined,
    /// An endpoint that asks for no host is called so.
    Unasked,
}

impl Nearness {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Similar => "similar",
            Self::Quarantined => "quarantined",
            Self::Unasked => "unasked",
        }
    }
}

/// More than these are no help.
const MOST: usize = 8;

/// What is near `host`, which is in small letters: the nearest first.
pub(super) fn near<'a>(
    host: &str,
    services: impl Iterator<Item = (&'a HostPattern, &'a Arc<str>)>,
    unrouted: &[Unrouted],
) -> Vec<Near> {
    let similar = services.filter_map(|(pattern, name)| {
        let (distance, why) = similar(host, pattern)?;
        Some((distance, Near { name: Arc::clone(name), nearness: Nearness::Similar, why }))
    });
    let others = unrouted.iter().filter_map(|one| {
        let (distance, nearness, why) = apart(host, one)?;
        Some((distance, Near { name: Arc::clone(&one.name), nearness, why }))
    });
    let mut all: Vec<_> = similar.chain(others).collect();
    all.sort_by(|(a, one), (b, other)| (one.nearness, a).cmp(&(other.nearness, b)));
    all.into_iter().take(MOST).map(|(_, near)| near).collect()
}

fn similar(host: &str, pattern: &HostPattern) -> Option<(usize, String)> {
    let text = pattern.to_string();
    match pattern {
        HostPattern::Suffix(end) => {
            let is_domain = end.strip_prefix('.') == Some(host);
            return is_domain.then(|| (0, format!("{text} stands for hosts below {host} alone")));
        }
        HostPattern::Prefix(_) => return None,
        HostPattern::Exact(_) => {}
    }
    if host.strip_prefix("www.") == Some(&*text) {
        return Some((0, format!("it is {text}, without www.")));
    }
    if text.strip_prefix("www.") == Some(host) {
        return Some((0, format!("it is {text}, with www.")));
    }
    if host.strip_suffix(&*text).is_some_and(|rest| rest.ends_with('.')) {
        return Some((1, format!("it is {text} alone; *.{text} would be the hosts below it")));
    }
    let first_label = |of: &str, is: &str| of.strip_prefix(is).is_some_and(|r| r.starts_with('.'));
    if first_label(&text, host) || first_label(host, &text) {
        return Some((1, format!("it is {text}")));
    }
    // One letter of five, and three at most.
    let most = (host.len().max(text.len()) / 5).clamp(1, 3);
    let distance = strsim::osa_distance(host, &text);
    (distance <= most && host.len() > 2).then(|| (distance + 1, format!("it is spelled {text}")))
}

fn apart(host: &str, unrouted: &Unrouted) -> Option<(usize, Nearness, String)> {
    if let Some(first) = unrouted.problems.first() {
        let speaks = |problem: &&Problem| problem.value.to_ascii_lowercase().contains(host);
        let spoken = unrouted.problems.iter().find(speaks);
        let distance = usize::from(spoken.is_none());
        return Some((distance, Nearness::Quarantined, spoken.unwrap_or(first).to_string()));
    }
    let label = host.split('.').next().filter(|label| label.len() > 2)?;
    let State::Down(reason) = &unrouted.state else { return None };
    unrouted.name.contains(label).then(|| (0, Nearness::Unasked, reason.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str, services: &[&str], unrouted: &[Unrouted]) -> Vec<String> {
        let services: Vec<(HostPattern, Arc<str>)> =
            services.iter().map(|text| (text.parse().unwrap(), (*text).into())).collect();
        let services = services.iter().map(|(pattern, name)| (pattern, name));
        near(host, services, unrouted).iter().map(|one| one.name.to_string()).collect()
    }

    fn unrouted(name: &str, problem: Option<(&str, &str)>, reason: &'static str) -> Unrouted {
        let of = |(key, value): (&str, &str)| Problem {
            key: key.into(),
            value: value.into(),
            remedy: "no".into(),
        };
        Unrouted {
            id: name.into(),
            source: "docker".into(),
            name: name.into(),
            problems: problem.map(of).into_iter().collect(),
            state: State::Down(reason.into()),
        }
    }

    #[test]
    fn what_people_mix_up_is_near() {
        for (host, services, expected) in [
            ("example.com", &["www.example.com", "other.com"][..], &["www.example.com"][..]),
            ("www.example.com", &["example.com"], &["example.com"]),
            ("example.com", &["*.example.com"], &["*.example.com"]),
            ("a.example.com", &["example.com"], &["example.com"]),
            ("app", &["app.local", "apple.local"], &["app.local"]),
            ("app.local", &["app"], &["app"]),
            ("ap.local", &["app.local", "web.local"], &["app.local"]),
            ("shpo.example.com", &["shop.example.com"], &["shop.example.com"]),
            ("nothing.like.it", &["app.local", "*.example.com", "www.*"], &[]),
            ("", &["app.local"], &[]),
        ] {
            assert_eq!(names(host, services, &[]), expected, "{host}");
        }
    }

    #[test]
    fn who_is_in_quarantine_may_be_meant_and_who_says_so_comes_first() {
        let others = [
            unrouted("db-1", None, "names no host"),
            unrouted("web-1", Some(("VIRTUAL_PORT", "0")), "its settings can't be used"),
            unrouted("web-2", Some(("VIRTUAL_HOST", "App.local/x")), "its settings can't be used"),
            unrouted("shop-app-1", None, "names no host"),
        ];
        assert_eq!(names("app.local", &[], &others), ["web-2", "web-1", "shop-app-1"]);
    }
}
