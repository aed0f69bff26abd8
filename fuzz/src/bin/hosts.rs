//! Patterns of hosts, and which of them answers. The first line of the input is the
//! host of a request, each other one is a pattern.
#![no_main]

use std::cmp::Reverse;

use lb_core::registry::{HostPattern, Routes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (host, patterns) = text.split_once('\n').unwrap_or((text, text));
    let patterns: Vec<_> = patterns.split('\n').filter_map(pattern).collect();
    let lower = host.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let routes = Routes::new(patterns.iter().map(|pattern| (pattern.clone(), pattern)), None);
    let matching = patterns.iter().filter(|pattern| pattern.matches(lower));
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Suffix(end) => (1, Reverse(end.len())),
        HostPattern::Prefix(start) => (2, Reverse(start.len())),
    };
    let first = matching.min_by_key(|pattern| rank(pattern));
    assert_eq!(routes.find(host).copied(), first);

    if let Ok(HostPattern::Exact(host)) = host.parse() {
        for pattern in &patterns {
            assert_eq!(pattern.matches(&host), is_meant(pattern, &host), "{pattern} {host}");
        }
    }
});

fn pattern(text: &str) -> Option<HostPattern> {
    let pattern: HostPattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let shown = pattern.to_string();
    assert_eq!(shown.parse().as_ref(), Ok(&pattern));
    // But for case, the dot of a whole name, and the ways to write an IPv6 address, it
    // is what was written.
    let lower = text.to_ascii_lowercase();
    let is_same = lower == shown || lower.strip_suffix('.') == Some(&shown);
    assert!(is_same || shown.starts_with('['), "{text:?} is taken for {shown:?}");
    Some(pattern)
}

/// The same, label by label.
fn is_meant(pattern: &HostPattern, host: &str) -> bool {
    let pattern = pattern.to_string();
    let (wanted, labels): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), host.split('.').collect());
    match wanted[..] {
        ["*", ref end @ ..] => labels.len() > end.len() && labels.ends_with(end),
        [ref start @ .., "*"] => labels.len() > start.len() && labels.starts_with(start),
        _ => wanted == labels,
    }
}
