//! Tables as `docker ps` prints them: columns as wide as they have to be, no lines.

use std::fmt::Write;

use super::text::{Tone, harmless, toned};

/// What one column has to say in one row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: harmless(&text.into()).into_owned(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under a line of titles. A title that begins with `>` is that of numbers, which
/// stand to the right.
#[derive(Debug)]
pub(crate) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        Self { titles: titles.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Each line behind this indentation. A column without a word is left out.
    pub(crate) fn render(&self, indentation: &str, colored: bool) -> String {
        let width = |text: &str| text.chars().count();
        let columns: Vec<_> = self
            .titles
            .iter()
            .enumerate()
            .filter_map(|(at, title)| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let widest = cells.map(|cell| width(&cell.text)).max().unwrap_or(0);
                let (title, right) = match title.strip_prefix('>') {
                    Some(title) => (title, true),
                    None => (*title, false),
                };
                (widest > 0).then(|| (at, title, widest.max(width(title)), right))
            })
            .collect();
        let mut out = String::new();
        let mut line = |cell: &dyn Fn(usize, &'static str) -> (String, Tone)| {
            let mut text = indentation.to_owned();
            for (n, &(at, title, widest, right)) in columns.iter().enumerate() {
                let (cell, tone) = cell(at, title);
                let padding = " ".repeat(widest - width(&cell));
                let cell = toned(&cell, tone, colored);
                let gap = if n == 0 { "" } else { "  " };
                // Writing to a string can't fail.
                let _ = if right {
                    write!(text, "{gap}{padding}{cell}")
                } else {
                    write!(text, "{gap}{cell}{padding}")
                };
            }
            out.push_str(text.trim_end());
            out.push('\n');
        };
        line(&|_, title| (title.to_owned(), Tone::Plain));
        for row in &self.rows {
            line(&|at, _| {
                row.get(at).map_or((String::new(), Tone::Plain), |it| (it.text.clone(), it.tone))
            });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(&["NAME", ">COUNT", "EMPTY", "WHY"]);
        table.row(vec!["shop-app-1".into(), "3".into(), "".into(), "".into()]);
        table.row(vec!["b".into(), "12345".into(), "".into(), "because\x1b".into()]);
        assert_eq!(
            table.render("  ", false),
            "  NAME        COUNT  WHY\n  shop-app-1      3\n  b           12345  because\n"
        );
    }

    #[test]
    fn colours_change_no_width() {
        let mut table = Table::new(&["STATE", "NAME"]);
        table.row(vec![Cell::toned("ready", Tone::Good), "a".into()]);
        let shown = table.render("", true);
        assert_eq!(shown, "STATE  NAME\n\u{1b}[32mready\u{1b}[m  a\n");
    }
}
