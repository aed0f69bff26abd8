//! What came of it, at the end.

use std::time::Duration;

use super::args::LoadArgs;
use super::tally::Tally;
use super::text::{grouped, latency, name, say};

/// Prints it; so many requests were not waited for.
pub(crate) fn print(args: &LoadArgs, tally: &Tally, unanswered: u64, took: Duration) {
    for line in lines(args, tally, unanswered, took) {
        say(&line);
    }
}

fn lines(args: &LoadArgs, tally: &Tally, unanswered: u64, took: Duration) -> Vec<String> {
    let total = &tally.total;
    let seconds = took.as_secs_f64();
    let rate = total.ended() as f64 / seconds.max(f64::MIN_POSITIVE);
    let reason = |(reason, count)| format!("  {reason}: {}", grouped(count));
    let mut lines = vec![
        String::new(),
        args.describe(),
        format!("{} requests in {seconds:.1} s, {rate:.1}/s", grouped(total.ended())),
        String::new(),
        format!("answered well  {:>12}", grouped(total.ok)),
    ];
    lines.extend(total.good().map(reason));
    lines.push(format!("failed         {:>12}", grouped(total.failed())));
    lines.extend(total.reasons().map(reason));
    if unanswered > 0 {
        lines.push(format!("not waited for {:>12}", grouped(unanswered)));
    }
    lines.push(String::new());
    lines.push("latency, from when a request was due to the end of a good answer".to_owned());
    for (share, label) in
        [(0.5, "median"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (1.0, "slowest")]
    {
        lines.push(format!("  {label:<13}{:>12}", latency(total.quantile(share))));
    }
    if !tally.servers.is_empty() {
        lines.push(String::new());
        lines.push(format!("{:<28}{:>10}{:>9}{:>10}", "served from", "answers", "share", "failed"));
    }
    let answers: u64 = tally.servers.iter().map(|server| server.total).sum();
    for server in &tally.servers {
        let share = server.total as f64 / answers as f64 * 100.0;
        let (answers, failed) = (grouped(server.total), grouped(server.failed));
        lines.push(format!("  {:<26}{answers:>10}{share:>7.1} %{failed:>10}", name(server)));
    }
    lines
}
