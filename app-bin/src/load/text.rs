//! Figures as people read them, and how they get to them.

use std::io::{self, Write};
use std::time::Duration;

use super::tally::Server;

/// How a server is called.
pub(crate) fn name(server: &Server) -> &str {
    server.name.as_deref().unwrap_or("(no name)")
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = (time.as_millis() + 500) / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency; a dash, if there is none.
pub(crate) fn latency(latency: Option<Duration>) -> String {
    match latency.map(|latency| latency.as_secs_f64() * 1e3) {
        None => "-".to_owned(),
        Some(ms) if ms < 1000.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.2} s", ms / 1e3),
    }
}

/// Prints a line. Nobody has to watch: a closed pipe ends nothing.
pub(crate) fn say(line: &str) {
    write(&format!("{line}\n"));
}

/// Prints this as it is.
pub(crate) fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let ms = |ms: f64| latency(Some(Duration::from_secs_f64(ms / 1e3)));
        assert_eq!([0.04, 12.34, 1500.0].map(ms), ["0.0 ms", "12.3 ms", "1.50 s"]);
        assert_eq!(latency(None), "-");
        assert_eq!(
            [499, 60_999, 3_600_000].map(|ms| clock(Duration::from_millis(ms))),
            ["0:00", "1:01", "60:00"]
        );
    }
}
