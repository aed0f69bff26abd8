use std::fmt::{self, Write};

use super::{Measured, Scenario};

/// All p99s as a picture: a panel for each scenario, a line for each algorithm,
/// a mark for each number of clients. SVG, for light and dark pages.
pub fn svg(results: &[(Scenario, Vec<Measured>)]) -> String {
    let mut svg = String::new();
    // Writing to a string doesn't fail.
    let _ = Plot::of(results).draw(&mut svg, results);
    svg
}

const WIDTH: f64 = 860.0;
const COLUMNS: usize = 2;
/// Where in a panel the scale begins and ends; before it are the names, after it
/// is what failed.
const SCALE: (f64, f64) = (162.0, 334.0);
const PANEL: f64 = WIDTH / COLUMNS as f64;
const LINE: f64 = 17.0;
const HEAD: f64 = 76.0;
const TITLE: f64 = 34.0;
const AXIS: f64 = 34.0;

const STYLE: &str = "
  .page { fill: #ffffff } .grid { stroke: #d9dfe5 } .line { stroke: #eef1f4; stroke-width: 9 }
  text { fill: #1c2733; font-size: 12px } .title { font-weight: 600; font-size: 13px }
  .small { fill: #5a6672; font-size: 11px } .end { text-anchor: end } .mid { text-anchor: middle }
  .mark0 { fill: #2a5db0; stroke: #2a5db0 } .mark1 { fill: #ffffff; stroke: #c2410c }
  .mark2 { fill: #1d7a46; stroke: #1d7a46 } .mark3 { fill: #ffffff; stroke: #7a3fa0 }
  circle { stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .grid { stroke: #30363d } .line { stroke: #1b2129 }
    text { fill: #e6edf3 } .small { fill: #9aa4af }
    .mark0 { fill: #6ea8fe; stroke: #6ea8fe } .mark1 { fill: #0d1117; stroke: #ff9a5c }
    .mark2 { fill: #56d08a; stroke: #56d08a } .mark3 { fill: #0d1117; stroke: #c99bff }
  }
";
const STYLES: usize = 4;

struct Plot {
    algorithms: Vec<&'static str>,
    clients: Vec<usize>,
    /// Powers of the root of ten, in milliseconds: the ends of the scale.
    from: i32,
    to: i32,
}

impl Plot {
    fn of(results: &[(Scenario, Vec<Measured>)]) -> Self {
        let all = || results.iter().flat_map(|(_, measured)| measured);
        let mut this = Self { algorithms: Vec::new(), clients: Vec::new(), from: 2, to: 3 };
        for measured in all() {
            add(&mut this.algorithms, measured.algorithm);
            add(&mut this.clients, measured.clients);
        }
        let all_steps = || all().map(p99).filter(|p99| *p99 > 0.0).map(steps);
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        if let Some(least) = all_steps().reduce(f64::min) {
            this.from = least.floor() as i32;
            this.to = (all_steps().fold(least, f64::max).ceil() as i32).max(this.from + 1);
        }
        this
    }

    fn draw(&self, svg: &mut String, results: &[(Scenario, Vec<Measured>)]) -> fmt::Result {
        let panel = TITLE + LINE * self.algorithms.len() as f64 + AXIS;
        let height = HEAD + panel * results.len().div_ceil(COLUMNS) as f64;
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"ui-sans-serif, system-ui, sans-serif\" role=\"img\" \
             aria-labelledby=\"title\">\n\
             <title id=\"title\">p99 latency by algorithm and scenario</title>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"16\" y=\"28\">p99 latency in milliseconds, logarithmic; \
             beside it, what part of requests failed</text>"
        )?;
        for (at, &clients) in self.clients.iter().enumerate() {
            let x = 22.0 + 140.0 * at as f64;
            let label = match clients {
                1 => "1 client (a proxy)".to_owned(),
                more => format!("{more} clients"),
            };
            self.mark(svg, at, x, 48.0)?;
            writeln!(svg, "<text x=\"{}\" y=\"52\">{label}</text>", x + 10.0)?;
        }
        for (at, (scenario, measured)) in results.iter().enumerate() {
            let (column, row) = (at % COLUMNS, at / COLUMNS);
            let (x, y) = (column as f64 * PANEL, HEAD + row as f64 * panel);
            writeln!(
                svg,
                "<g transform=\"translate({x} {y})\">\
                 <text class=\"title\" x=\"16\" y=\"18\">{scenario}: {}</text>",
                scenario.about()
            )?;
            self.lines(svg)?;
            self.scale(svg)?;
            for measured in measured {
                self.result(svg, measured)?;
            }
            self.failures(svg, measured)?;
            writeln!(svg, "</g>")?;
        }
        writeln!(svg, "</svg>")
    }

    fn lines(&self, svg: &mut String) -> fmt::Result {
        let (from, to) = SCALE;
        for (row, algorithm) in self.algorithms.iter().enumerate() {
            let (y, end) = (middle(row), from - 8.0);
            writeln!(
                svg,
                "<path class=\"line\" d=\"M{from} {y}H{to}\"/>\
                 <text class=\"end\" x=\"{end}\" y=\"{}\">{algorithm}</text>",
                y + 4.0
            )?;
        }
        Ok(())
    }

    fn scale(&self, svg: &mut String) -> fmt::Result {
        let bottom = TITLE + LINE * self.algorithms.len() as f64;
        for step in self.from..=self.to {
            let ten = 10_f64.powi(step.div_euclid(2));
            let label = if step.rem_euclid(2) == 0 { ten } else { 3.0 * ten };
            let x = self.x(label);
            writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TITLE}V{bottom}\"/>\
                 <text class=\"small mid\" x=\"{x:.1}\" y=\"{}\">{label}</text>",
                bottom + 14.0
            )?;
        }
        Ok(())
    }

    fn result(&self, svg: &mut String, measured: &Measured) -> fmt::Result {
        let row = self.algorithms.iter().position(|name| *name == measured.algorithm);
        let style = self.clients.iter().position(|clients| *clients == measured.clients);
        match (row, style, p99(measured)) {
            (Some(row), Some(style), p99) if p99 > 0.0 => {
                self.mark(svg, style, self.x(p99), middle(row))
            }
            _ => Ok(()),
        }
    }

    /// One part for each number of clients.
    fn failures(&self, svg: &mut String, all: &[Measured]) -> fmt::Result {
        for (row, algorithm) in self.algorithms.iter().enumerate() {
            let of_this = all.iter().filter(|measured| measured.algorithm == *algorithm);
            let failed: Vec<_> =
                of_this.map(|measured| measured.figures.failure_rate() * 100.0).collect();
            if failed.iter().all(|percent| *percent < 0.05) {
                continue;
            }
            let failed: Vec<_> = failed.iter().map(|percent| format!("{percent:.1}")).collect();
            writeln!(
                svg,
                "<text class=\"small\" x=\"{}\" y=\"{}\">{} %</text>",
                SCALE.1 + 10.0,
                middle(row) + 4.0,
                failed.join(" / ")
            )?;
        }
        Ok(())
    }

    fn mark(&self, svg: &mut String, style: usize, x: f64, y: f64) -> fmt::Result {
        // The first lies below the others and shows around them.
        let radius = if style == 0 { 4.5 } else { 3.5 };
        let style = style % STYLES;
        writeln!(svg, "<circle class=\"mark{style}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"{radius}\"/>")
    }

    /// Where so many milliseconds are.
    fn x(&self, milliseconds: f64) -> f64 {
        let part = (steps(milliseconds) - f64::from(self.from)) / f64::from(self.to - self.from);
        SCALE.0 + part * (SCALE.1 - SCALE.0)
    }
}

/// The middle of a line.
fn middle(row: usize) -> f64 {
    TITLE + LINE * (row as f64 + 0.5)
}

/// How many roots of ten it is the product of.
fn steps(milliseconds: f64) -> f64 {
    2.0 * milliseconds.log10()
}

/// In milliseconds.
fn p99(measured: &Measured) -> f64 {
    measured.figures.quantile(0.99) * 1000.0
}

fn add<T: PartialEq>(to: &mut Vec<T>, item: T) {
    if !to.contains(&item) {
        to.push(item);
    }
}
