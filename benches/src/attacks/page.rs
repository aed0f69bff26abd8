//! docs/attacks.md.

use std::fmt::Write;

use super::{Attack, Finding, scene::FLAGS};

const HEAD: &str = "# Attacks

What it costs lb-bin, and everybody else, when somebody means it no good. Made by
`make attacks`, which starts lb-bin and a server behind it as one would, attacks it,
and measures. What holds without a clock is held by `cargo test`, too.

Memory is what the process occupies (VmRSS), its growth since before the attack,
and its peak (VmHWM) where it says at the most; processor time is that of all its
threads. Others are ten clients that ask 200 times a second all the while; the times
are medians of windows of 5 s. Attackers, others, server and lb-bin share the machine,
so the times say more about who is served at all than about how fast. Frames count
as sent once the system has taken them, which is well before lb-bin reads them.

A bound that doesn't hold is marked, and fails `make attacks`.
";

/// The page.
pub fn write(machine: &str, time: u64, results: &[(Attack, Vec<Finding>)]) -> String {
    let mut page = String::from(HEAD);
    let mut line = |text: String| {
        // A string takes everything.
        let _ = writeln!(page, "{text}");
    };
    line(format!(
        "\nOn {machine};\nslowloris for {time} s, floods for at most 10 s; lb-bin with\n`{}`.",
        FLAGS.join(" ")
    ));
    for (attack, findings) in results {
        line(format!("\n## {}\n\n{}\n", attack.title, wrap(attack.words)));
        let flags = attack.flags.join(" ");
        let flags = if flags.is_empty() { flags } else { format!(", lb-bin with `{flags}`") };
        line(format!("`make attacks ARGS=\"--only {}\"`{flags}\n", attack.name));
        line("| | measured | bound |\n|---|---|---|".into());
        for finding in findings {
            let bound = match &finding.bound {
                None => String::new(),
                Some((bound, true)) => bound.clone(),
                Some((bound, false)) => format!("**{bound}: doesn't hold**"),
            };
            line(format!("| {} | {} | {bound} |", finding.what, finding.measured));
        }
    }
    page
}

/// In lines of at most 84 characters.
fn wrap(words: &str) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in words.split_whitespace() {
        let more = word.chars().count() + 1;
        if length + more > 84 {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
        }
        text.push_str(word);
        length += more;
    }
    text
}
