//! Durations as people type them.

use std::fmt;
use std::time::Duration;

/// Reads a duration such as `250ms`, `2s`, `1m30s` or `0`.
///
/// # Errors
///
/// Text without a number, or a number other than zero without a unit.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    humantime::parse_duration(text).map_err(|_| InvalidDuration(()))
}

/// Text that is not a duration; says what to write instead.
#[derive(Debug)]
pub struct InvalidDuration(());

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a duration: write a number and a unit, as in 250ms, 2s or 1m30s")
    }
}

impl std::error::Error for InvalidDuration {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let millis = |text| parse_duration(text).unwrap().as_millis();
        assert_eq!(millis("0"), 0);
        assert_eq!(millis("250ms"), 250);
        assert_eq!(millis("1m30s"), 90_000);
    }

    #[test]
    fn refusals_tell_the_remedy() {
        for text in ["", "5", "soon", "-1s", "3 parsecs"] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains("write a number and a unit"), "{text}: {error}");
        }
    }
}
