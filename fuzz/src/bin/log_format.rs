//! Formats of the access log. The first line of the input says how values are written,
//! the rest is the format.
#![no_main]

use lb_core::http::{Escape, LogFormat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (how, text) = text.split_once('\n').unwrap_or(("", text));
    let escape: Escape = how.parse().unwrap_or_default();
    if LogFormat::NAMES.contains(&text) {
        return;
    }
    let (format, problems) = LogFormat::of_nginx(text, escape);
    for problem in &problems {
        assert!(problem.to_string().len() > 20);
    }
    match LogFormat::new(text, escape) {
        Err(error) => assert_eq!(problems.first(), Some(&error)),
        Ok(strict) => {
            assert!(problems.is_empty());
            assert_eq!(strict, format, "who is strict and is content agrees");
            let shown = strict.to_string();
            assert_eq!(LogFormat::new(&shown, escape).as_ref(), Ok(&strict), "{shown}");
            assert_eq!(constants(&shown), constants(text), "{shown}");
            assert_eq!(shown.matches('$').count(), text.matches('$').count(), "{shown}");
        }
    }
});

/// What stays the same in each line, read in another way than the format does: between
/// variables, and without what a backslash does.
fn constants(text: &str) -> Vec<String> {
    let plain = |text: &str| {
        let text = text.replace("\\\\", "\0").replace("\\t", "\t").replace("\\\"", "\"");
        text.replace("\\'", "'").replace('\0', "\\")
    };
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut parts = text.split('$');
    let first = parts.next().map(plain);
    let rest = parts.map(|part| match part.strip_prefix('{') {
        Some(braced) => plain(braced.split_once('}').map_or("", |(_, rest)| rest)),
        None => plain(part.trim_start_matches(is_name)),
    });
    first.into_iter().chain(rest).collect()
}
