//! Progress, once a second: in place on a terminal, else a line each time.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Duration;

use super::args::LoadArgs;
use super::tally::{Server, Tally};
use super::text::{clock, grouped, latency, name, say, write};

/// Lines of a terminal that doesn't tell.
const HEIGHT: usize = 24;

/// For how many seconds one is shown that doesn't answer any more.
const GONE: u64 = 30;

/// Characters of the longest bar.
const BAR: u64 = 24;

/// Where progress is shown.
#[derive(Debug)]
pub(crate) struct Screen {
    title: String,
    duration: Duration,
    terminal: bool,
    colours: bool,
    /// Lines that are there now, to be overwritten.
    lines: usize,
}

impl Screen {
    pub(crate) fn new(args: &LoadArgs) -> Self {
        let terminal = io::stdout().is_terminal();
        let colours = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (title, duration) = (args.describe(), args.duration());
        Self { title, duration, terminal, colours, lines: 0 }
    }

    /// Shows how it goes after this time.
    pub(crate) fn show(&mut self, tally: &Tally, after: Duration) {
        if !self.terminal {
            say(&line(tally, after));
            return;
        }
        let lines = self.frame(tally, after, height());
        let mut text = self.back();
        // What is too long is cut and not wrapped, else going back would miss.
        text.push_str("\x1b[?7l");
        for line in &lines {
            let _ = writeln!(text, "{line}\x1b[K");
        }
        text.push_str("\x1b[J\x1b[?7h");
        write(&text);
        self.lines = lines.len();
    }

    /// Takes away what is shown in place.
    pub(crate) fn clear(&mut self) {
        if self.lines > 0 {
            write(&(self.back() + "\x1b[J"));
            self.lines = 0;
        }
    }

    fn back(&self) -> String {
        match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}F"),
        }
    }

    /// At most as many lines as there is room for, else going back would miss.
    fn frame(&self, tally: &Tally, after: Duration, height: usize) -> Vec<String> {
        let Tally { total, second, servers, .. } = tally;
        let row = |name: &str, now: String, all: String| format!("  {name:<22}{now:>12}{all:>14}");
        let count = |name: &str, now: u64, all: u64| row(name, grouped(now), grouped(all));
        let time = |name: &str, share| {
            row(name, latency(second.quantile(share)), latency(total.quantile(share)))
        };
        let clock = format!("{} of {}", clock(after), clock(self.duration));
        let failed = count("failed", second.failed(), total.failed());
        let mut lines = vec![
            self.title.clone(),
            String::new(),
            row(&clock, "last second".to_owned(), "in all".to_owned()),
            count("answered well", second.ok, total.ok),
            if second.failed() > 0 { self.red(&failed) } else { failed },
            time("median", 0.5),
            time("99 %", 0.99),
            time("slowest", 1.0),
        ];
        lines.extend(total.reasons().map(|(reason, all)| {
            let now = second.reasons().find(|(of, _)| *of == reason).map_or(0, |(_, now)| now);
            count(&reason.chars().take(22).collect::<String>(), now, all)
        }));
        lines.push(String::new());
        // One for how many more there are, one for the cursor.
        let room = height.saturating_sub(lines.len() + 2);
        let shown = || servers.iter().filter(|server| server.silent < GONE);
        let most = shown().map(|server| server.second).max().unwrap_or(0).max(1);
        lines.extend(shown().take(room).map(|server| self.server(server, most)));
        if let more @ 1.. = shown().count().saturating_sub(room) {
            lines.push(format!("  and {more} more"));
        }
        lines.truncate(height.saturating_sub(1));
        lines
    }

    fn server(&self, server: &Server, most: u64) -> String {
        let Server { total, second, silent, .. } = server;
        let bar = "█".repeat(usize::try_from((second * BAR).div_ceil(most)).unwrap_or_default());
        let name = name(server);
        let (now, all) = (grouped(*second), grouped(*total));
        let line = format!("  {name:<22}{now:>12}{all:>14}  {bar}");
        if *silent == 0 { line } else { self.red(&format!("{line}silent for {silent} s")) }
    }

    fn red(&self, line: &str) -> String {
        if self.colours { format!("\x1b[31m{line}\x1b[0m") } else { line.to_owned() }
    }
}

fn height() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map(|size| size.ws_row.into()).ok().filter(|rows| *rows > 0).unwrap_or(HEIGHT)
}

/// The last second in one line.
fn line(tally: &Tally, after: Duration) -> String {
    let second = &tally.second;
    let [median, high, most] = [0.5, 0.99, 1.0].map(|share| latency(second.quantile(share)));
    let mut line = format!(
        "{}  ok {}  failed {}  median {median}  99 % {high}  slowest {most} ",
        clock(after),
        second.ok,
        second.failed()
    );
    for server in tally.servers.iter().filter(|server| server.second > 0) {
        let _ = write!(line, "  {} {}", name(server), server.second);
    }
    for (reason, count) in second.reasons() {
        let _ = write!(line, "  {reason}: {count}");
    }
    line
}
