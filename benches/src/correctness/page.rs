//! The page that tells what came of the cases.

use std::fmt::{self, Write as _};

use super::{
    case::{Case, Level},
    run::Outcome,
};

/// What came of all cases with one proxy.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// The version it tells.
    pub version: String,
    /// Whether it wants what the cases of [`Level::Ours`] want.
    pub ours: bool,
    /// How it was set up.
    pub setup: &'static str,
    /// In the order of the cases.
    pub outcomes: Vec<Outcome>,
}

impl Column {
    /// How many cases of a level were wrong.
    pub fn failed(&self, cases: &[Case], level: Level) -> usize {
        let of_level = cases.iter().zip(&self.outcomes).filter(|(case, _)| case.level == level);
        of_level.filter(|(_, outcome)| outcome.verdict.is_err()).count()
    }
}

const INTRO: &str = "# Correctness

How lb-bin and other proxies speak HTTP/1.1, the hard cases above all. Made by
`make correctness`, which starts every proxy as a plain process, puts a client of
raw sockets before it and a server of raw sockets behind it, and compares what
they see. The cases are in `benches/src/correctness/cases`; the same list is run
against lb-bin by `cargo test`.

The client sends exactly the bytes of the case, and the server reads strictly: what
isn't a request by the letter of RFC 9112 counts as garbage. What all cases about
the ends of messages come down to: the server never sees a request that the client
didn't send, nor another end of one, nor garbage. Refusing (4xx, 5xx, or closing
the connection) is always right there.

* **MUST**: the standard demands it, or somebody is at risk.
* **SHOULD**: the standard recommends it, or it is the best of what is allowed.
* **ours**: what lb-bin wants to do where the standard says nothing. Others want
  other things, and may be told by their configuration, so nobody else's are counted.

A mark says what was seen with this version and this configuration, which is short
and close to the defaults. Much can be configured away; some of it on purpose isn't
done, as old clients need it. nginx and HAProxy are those of Debian 12, so some years
old: newer ones do better in places. A few do one thing or the other from run to run
(HAProxy with some trailers). It is no list of holes: most of what others take and
lb-bin refuses harms nobody as long as the server behind them reads it the same way.
";

/// The whole page.
pub fn write(cases: &[Case], columns: &[Column]) -> String {
    let mut page = String::from(INTRO);
    // Writing to a string succeeds.
    let _ = summary(&mut page, cases, columns);
    let _ = tables(&mut page, cases, columns);
    let _ = reasons(&mut page, cases, columns);
    page
}

fn summary(page: &mut String, cases: &[Case], columns: &[Column]) -> fmt::Result {
    let count = |level| cases.iter().filter(|case| case.level == level).count();
    writeln!(page, "\n## Summary\n\n{} cases.\n", cases.len())?;
    writeln!(
        page,
        "| | version | MUST failed, of {} | SHOULD failed, of {} | ours, of {} | set up with |\n|---|---|---|---|---|---|",
        count(Level::Must),
        count(Level::Should),
        count(Level::Ours)
    )?;
    for column in columns {
        let failed = |level| column.failed(cases, level);
        let ours = if column.ours { failed(Level::Ours).to_string() } else { "–".into() };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            column.name,
            column.version,
            failed(Level::Must),
            failed(Level::Should),
            ours,
            column.setup
        )?;
    }
    by_group(page, cases, columns)
}

/// Where it went wrong: what is wrong once is often wrong in several cases.
fn by_group(page: &mut String, cases: &[Case], columns: &[Column]) -> fmt::Result {
    let mut groups: Vec<&str> = cases.iter().map(|case| case.group).collect();
    groups.dedup();
    write!(page, "\n| MUST failed | of |")?;
    for column in columns {
        write!(page, " {} |", column.name)?;
    }
    writeln!(page, "\n|---|---|{}", "---|".repeat(columns.len()))?;
    for group in groups {
        let is_of = |case: &Case| case.group == group && case.level == Level::Must;
        write!(page, "| {group} | {} |", cases.iter().filter(|case| is_of(case)).count())?;
        for column in columns {
            let of = cases.iter().zip(&column.outcomes).filter(|(case, _)| is_of(case));
            let failed = of.filter(|(_, outcome)| outcome.verdict.is_err()).count();
            write!(page, " {} |", if failed == 0 { String::new() } else { failed.to_string() })?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn tables(page: &mut String, cases: &[Case], columns: &[Column]) -> fmt::Result {
    let mut group = "";
    for (at, case) in cases.iter().enumerate() {
        if case.group != group {
            group = case.group;
            write!(page, "\n## {group}\n\n| case | rule | |")?;
            for column in columns {
                write!(page, " {} |", column.name)?;
            }
            writeln!(page, "\n|---|---|---|{}", "---|".repeat(columns.len()))?;
        }
        write!(page, "| {} | {} | {} |", case.name, case.rule, case.level)?;
        for column in columns {
            let mark = match column.outcomes.get(at).map(|outcome| &outcome.verdict) {
                Some(Ok(())) => "✓",
                Some(Err(_)) => "✗",
                None => "",
            };
            write!(page, " {mark} |")?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn reasons(page: &mut String, cases: &[Case], columns: &[Column]) -> fmt::Result {
    writeln!(page, "\n## What they did")?;
    let mut group = "";
    for (at, case) in cases.iter().enumerate() {
        let wrong: Vec<_> = columns
            .iter()
            .filter_map(|column| {
                let why = column.outcomes.get(at)?.verdict.as_ref().err()?;
                Some((column.name, why))
            })
            .collect();
        if wrong.is_empty() {
            continue;
        }
        if case.group != group {
            group = case.group;
            writeln!(page, "\n### {group}\n")?;
        }
        writeln!(page, "* `{}`", case.name)?;
        let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, why) in wrong {
            match told.iter_mut().find(|(known, _)| known == why) {
                Some((_, names)) => names.push(name),
                None => told.push((why, vec![name])),
            }
        }
        for (why, names) in told {
            writeln!(page, "  * {}: {}", names.join(", "), plain(why))?;
        }
    }
    Ok(())
}

/// A text in which Markdown finds nothing of its own.
fn plain(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('\n', " ").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_the_same_is_told_together() {
        let case =
            |level, name: &str| Case { group: "Things", ..Case::new(level, name, "RFC 1, 2") };
        let cases = [case(Level::Must, "one"), case(Level::Should, "two")];
        let column = |name, verdicts: [super::super::Verdict; 2]| Column {
            name,
            version: "1.0".into(),
            ours: false,
            setup: "nothing",
            outcomes: (0..)
                .zip(verdicts)
                .map(|(at, verdict)| Outcome { at, verdict, observed: None })
                .collect(),
        };
        let bad = || Err("does `this`".to_owned());
        let columns = [column("a", [Ok(()), bad()]), column("b", [bad(), bad()])];
        let page = write(&cases, &columns);
        assert!(page.contains("| Things | 1 |  | 1 |\n"), "{page}");
        assert!(page.contains("| one | RFC 1, 2 | MUST | ✓ | ✗ |\n"), "{page}");
        assert!(page.contains("* `two`\n  * a, b: `does 'this'`\n"), "{page}");
        assert!(page.contains("| b | 1.0 | 1 | 1 | – | nothing |\n"), "{page}");
    }
}
