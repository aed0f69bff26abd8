//! The page: files that are part of the program.

/// A file of the page: what it is, and what is in it.
pub(crate) fn file(name: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(known, ..)| *known == name).map(|(_, kind, text)| (*kind, *text))
}

const HTML: &str = "text/html; charset=utf-8";

/// Each by its name below `/live/`.
const FILES: &[(&str, &str, &str)] = &[("", HTML, include_str!("page/index.html"))];
