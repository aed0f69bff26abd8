//! Text as a terminal is to show it.

use std::{borrow::Cow, io::IsTerminal};

/// What others have written, without what a terminal would obey: what a health check
/// prints, say, is no business of it.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

/// How states and answers are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    /// On its way, or on its way out.
    Middling,
    Bad,
    Faint,
}

impl Tone {
    /// That of an endpoint in this state.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "ready" => Self::Good,
            "connecting" | "draining" => Self::Middling,
            "ejected" | "down" | "quarantined" => Self::Bad,
            "ignored" => Self::Faint,
            _ => Self::Plain,
        }
    }

    /// The parameter of SGR (ECMA-48) that is its colour; plain text has none.
    fn sgr(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Good => Some(32),
            Self::Middling => Some(33),
            Self::Bad => Some(31),
            Self::Faint => Some(90),
        }
    }
}

/// Whether standard output shows colours: if it is a terminal, and nobody wants none
/// (<https://no-color.org>).
pub(crate) fn colored() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !unwanted
}

/// The text in this tone, if there are to be any.
pub(crate) fn toned(text: &str, tone: Tone, colored: bool) -> String {
    match tone.sgr().filter(|_| colored) {
        Some(color) => format!("\x1b[{color}m{text}\x1b[m"),
        None => text.to_owned(),
    }
}

/// A time as people say it: its two largest units.
pub(crate) fn age(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let at = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let (size, unit) = units[at];
    let rest = units.get(at + 1).map(|(smaller, unit)| (seconds % size / smaller, unit));
    match rest {
        Some((more, smaller)) if more > 0 => format!("{}{unit} {more}{smaller}", seconds / size),
        _ => format!("{}{unit}", seconds / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(harmless("no\x1b[2Jdatabase\r\n\u{9b}31m"), "no [2Jdatabase   31m");
        assert!(matches!(harmless("bücher ✓"), Cow::Borrowed(_)));
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (245, "4m 5s"),
            (3600, "1h"),
            (86_399, "23h 59m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
