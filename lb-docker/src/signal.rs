//! Signals: which of them tell a container to leave.

use std::{fmt, str::FromStr};

/// A signal by its number on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(pub(crate) u8);

impl Signal {
    pub(crate) const TERM: Self = Self(15);

    /// Whether a container that stops on `stop` is leaving when it gets this.
    ///
    /// The others (HUP, USR1, USR2, WINCH) ask for a reload or the like, unless
    /// one of them is the signal it stops on.
    pub(crate) fn leaves(self, stop: Option<Self>) -> bool {
        const FATAL: [u8; 4] = [15, 9, 3, 2];
        self == stop.unwrap_or(Self::TERM) || FATAL.contains(&self.0)
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads what `STOPSIGNAL` and events hold: a number, or a name with or
    /// without `SIG`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return if (1..=64).contains(&number) { Ok(Self(number)) } else { Err(UnknownSignal) };
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        if let Some(offset) = name.strip_prefix("RTMIN") {
            // The first real-time signal that the C library leaves to programs.
            return real_time(34, offset);
        }
        if let Some(offset) = name.strip_prefix("RTMAX") {
            return real_time(64, offset);
        }
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(Err(UnknownSignal), |(_, number)| Ok(Self(*number)))
    }
}

fn real_time(base: i16, offset: &str) -> Result<Signal, UnknownSignal> {
    let offset: i16 = if offset.is_empty() { 0 } else { offset.parse().or(Err(UnknownSignal))? };
    match base.checked_add(offset).map(u8::try_from) {
        Some(Ok(number @ 34..=64)) => Ok(Signal(number)),
        _ => Err(UnknownSignal),
    }
}

const NAMES: [(&str, u8); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// No signal has this name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownSignal;

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such signal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_numbers() {
        for (text, number) in [
            ("15", 15),
            ("SIGTERM", 15),
            ("term", 15),
            ("SIGWINCH", 28),
            ("SIGRTMIN+3", 37),
            ("RTMAX-2", 62),
            ("RTMIN", 34),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "0", "65", "SIGFOO", "RTMIN+40", "RTMIN-1", "RTMAX+x"] {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal), "{text}");
        }
    }

    #[test]
    fn a_reload_is_not_a_farewell() {
        for number in [15, 9, 3, 2] {
            assert!(Signal(number).leaves(None));
            assert!(Signal(number).leaves(Some(Signal(28))));
        }
        for number in [1, 10, 12, 28] {
            assert!(!Signal(number).leaves(None));
            assert!(Signal(number).leaves(Some(Signal(number))));
        }
    }
}
