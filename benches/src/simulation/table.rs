use std::fmt::Write;

use super::Figures;

/// One simulation as it is shown: who balanced, and what came of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The name of the algorithm.
    pub algorithm: &'static str,
    /// How many clients there were.
    pub clients: usize,
    /// What came of it.
    pub figures: Figures,
    /// What came of the same requests without the server in trouble.
    pub without_trouble: Option<Figures>,
}

impl Measured {
    /// The p99 relative to what it is without the server in trouble.
    pub fn p99_ratio(&self) -> Option<f64> {
        Some(self.figures.quantile(0.99) / self.without_trouble.as_ref()?.quantile(0.99))
    }
}

/// A table as text, a line at a time.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// How many characters the first column has.
    pub width: usize,
    /// Whether there is a server in trouble to compare with.
    pub troubled: bool,
    /// Whether some servers are odd.
    pub odd: bool,
}

impl Table {
    /// The names of the columns.
    pub fn head(&self) -> String {
        let mut line = format!("{:<1$}", "algorithm", self.width);
        line += "  clients     p50     p99   p99.9  failed  max/mean";
        if self.troubled {
            line += "   p99 x";
        }
        if self.odd {
            line += "     odd";
        }
        line + "    kept"
    }

    /// One row.
    pub fn row(&self, measured: &Measured) -> String {
        let figures = &measured.figures;
        let mut line = format!("{:<1$}  {2:>7}", measured.algorithm, self.width, measured.clients);
        // Writing to a string doesn't fail.
        for part in [0.5, 0.99, 0.999] {
            let _ = write!(line, "  {:>6.1}", figures.quantile(part) * 1000.0);
        }
        let _ = write!(line, "  {:>5.2}%", figures.failure_rate() * 100.0);
        let _ = write!(line, "  {:>8.2}", figures.imbalance());
        if self.troubled {
            let _ = match measured.p99_ratio() {
                Some(ratio) => write!(line, "  {ratio:>6.2}"),
                None => write!(line, "  {:>6}", "-"),
            };
        }
        if self.odd {
            let _ = write!(line, "  {:>5.2}%", figures.odd * 100.0);
        }
        let _ = write!(line, "  {:>5.1}%", figures.kept * 100.0);
        line
    }
}
