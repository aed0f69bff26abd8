//! The screen, as wide and as high as it is.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Widget},
};

use super::{
    figures::{engine, rate, summary, time, uptime},
    model::Model,
    rows::{Level, Row, Sort},
};
use crate::terminal::text::{Tone, harmless};

/// Draws the model, with colours or without.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, colored: bool) {
    let area = frame.area();
    let pen = Pen { colored, width: area.width };
    let columns = Columns::of(area.width, model.sort);
    let mut head = vec![title(&pen, model)];
    // A low screen has more use for the table.
    let room = if area.height < 16 { 1 } else { 3 };
    head.extend(facts(&pen, model).into_iter().take(room));
    head.push(columns.titles(&pen));
    let body = columns.body(&pen, &model.rows());
    let foot = foot(&pen, model);

    let height = usize::from(area.height);
    model.lines = body.len();
    model.page = height.saturating_sub(head.len() + 1);
    model.scroll_to(model.scroll);
    let body = body.into_iter().skip(model.scroll).take(model.page);
    let buffer = frame.buffer_mut();
    for (y, line) in (area.top()..area.bottom()).zip(head.iter().cloned().chain(body)) {
        buffer.set_line(area.left(), y, &line, area.width);
    }
    if let Some(last) = area.bottom().checked_sub(1) {
        let whole = Rect { y: last, height: 1, ..area };
        Clear.render(whole, buffer);
        buffer.set_line(area.left(), last, &foot, area.width);
    }
    if model.help {
        help(area, buffer);
    }
}

/// What lines are drawn with.
struct Pen {
    colored: bool,
    width: u16,
}

impl Pen {
    fn tone(&self, tone: Tone) -> Style {
        let color = match tone {
            Tone::Plain => None,
            Tone::Good => Some(Color::Green),
            Tone::Middling => Some(Color::Yellow),
            Tone::Bad => Some(Color::Red),
            Tone::Faint => Some(Color::DarkGray),
        };
        color.filter(|_| self.colored).map_or(Style::new(), |color| Style::new().fg(color))
    }

    /// A line that is as wide as the screen, turned inside out.
    fn bar(&self, text: &str) -> Line<'static> {
        let text = format!("{text:<width$}", width = usize::from(self.width));
        Line::styled(text, Style::new().add_modifier(Modifier::REVERSED))
    }
}

fn title(pen: &Pen, model: &Model) -> Line<'static> {
    let mut parts = vec!["lb-bin top".to_owned(), model.address.clone()];
    parts.extend(uptime(&model.shown));
    parts.push(format!("by {}", model.sort.name()));
    if !model.filter.is_empty() && !model.typing {
        parts.push(format!("only {}", model.filter));
    }
    if model.paused {
        // Seen on a narrow screen as well.
        parts.insert(1, "PAUSED".to_owned());
    }
    pen.bar(&parts.join("  "))
}

/// The figures of all together, in as many lines as they take.
fn facts(pen: &Pen, model: &Model) -> Vec<Line<'static>> {
    let mut facts: Vec<_> =
        summary(&model.shown).into_iter().map(|fact| (fact, Tone::Plain)).collect();
    if model.shown.traffic.total.errors > 0.0 {
        facts[1].1 = Tone::Bad;
    }
    facts.extend(engine(&model.shown).map(|(line, fine)| {
        (harmless(&line).into_owned(), if fine { Tone::Faint } else { Tone::Bad })
    }));
    let mut lines: Vec<Line<'static>> = vec![Line::default()];
    for (fact, tone) in facts {
        let width = fact.chars().count() + 2;
        let last = lines.len() - 1;
        if lines[last].width() > 0 && lines[last].width() + width > usize::from(pen.width) + 2 {
            lines.push(Line::default());
        }
        let last = lines.len() - 1;
        lines[last].push_span(Span::styled(fact, pen.tone(tone)));
        lines[last].push_span("  ");
    }
    lines
}

fn foot(pen: &Pen, model: &Model) -> Line<'static> {
    if model.typing {
        return Line::from(format!("/{}_  (Enter keeps it, Esc drops it)", model.filter));
    }
    match &model.shown.lost {
        Some(why) => {
            let why = harmless(why).into_owned();
            Line::styled(format!("connection lost, trying again: {why}"), pen.tone(Tone::Bad))
        }
        None => Line::styled(
            "q quit  n r e l sort  / filter  space pause  ? help",
            pen.tone(Tone::Faint),
        ),
    }
}

/// The columns there is room for.
struct Columns {
    name: usize,
    state: usize,
    figures: Vec<Figure>,
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Rate,
    Errors,
    P50,
    P99,
    InFlight,
}

impl Figure {
    fn title(self) -> (&'static str, usize) {
        match self {
            Self::Rate => ("REQ/S", 6),
            Self::Errors => ("ERR/S", 6),
            Self::P50 => ("P50", 6),
            Self::P99 => ("P99", 6),
            Self::InFlight => ("IN FL", 6),
        }
    }

    fn of(self, row: &Row) -> String {
        let figure = |figure: &dyn Fn(&crate::terminal::answers::Figures) -> String| {
            row.figures.as_ref().map(figure).unwrap_or_default()
        };
        match self {
            Self::Rate => figure(&|it| rate(it.rate)),
            Self::Errors => figure(&|it| rate(it.errors)),
            Self::P50 => figure(&|it| time(it.p50)),
            Self::P99 => figure(&|it| time(it.p99)),
            Self::InFlight => row.in_flight.map(|n| n.to_string()).unwrap_or_default(),
        }
    }
}

impl Columns {
    fn of(width: u16, sort: Sort) -> Self {
        use Figure::{Errors, InFlight, P50, P99, Rate};
        let figures = match width {
            0..50 => vec![Rate, Errors],
            50..68 => vec![Rate, Errors, P99],
            _ => vec![Rate, Errors, P50, P99, InFlight],
        };
        let state = if width < 50 { 10 } else { 11 };
        let taken: usize = figures.iter().map(|figure| figure.title().1 + 1).sum();
        let name = usize::from(width).saturating_sub(taken + state + 1).max(4);
        Self { name, state, figures, sort }
    }

    fn titles(&self, pen: &Pen) -> Line<'static> {
        let sorted_by = match self.sort {
            Sort::Name => None,
            Sort::Rate => Some(Figure::Rate),
            Sort::Errors => Some(Figure::Errors),
            Sort::Latency => Some(Figure::P99),
        };
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let marked =
            |marked: bool| if marked { bold.add_modifier(Modifier::UNDERLINED) } else { bold };
        let mut line = Line::from(vec![
            Span::styled("NAME", marked(sorted_by.is_none())),
            Span::styled(
                format!("{:gap$} {:<state$}", "", "STATE", gap = self.name - 4, state = self.state),
                bold,
            ),
        ]);
        for figure in &self.figures {
            let (title, width) = figure.title();
            line.push_span(" ".repeat(width + 1 - title.len()));
            line.push_span(Span::styled(title, marked(sorted_by == Some(*figure))));
        }
        line.patch_style(pen.tone(Tone::Plain))
    }

    fn body(&self, pen: &Pen, rows: &[Row]) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let begins =
                row.level == Level::Apart && (at == 0 || rows[at - 1].level != Level::Apart);
            if begins {
                let bold = Style::new().add_modifier(Modifier::BOLD);
                lines.push(Line::default());
                lines.push(Line::styled("NOT ROUTED", bold));
            }
            lines.push(self.row(pen, row));
            if !row.why.is_empty() {
                let indent = if row.level == Level::Endpoint { 4 } else { 2 };
                let room = usize::from(pen.width).saturating_sub(indent);
                let why = format!("{:indent$}{}", "", cut(&row.why, room));
                lines.push(Line::styled(why, pen.tone(Tone::Faint)));
            }
        }
        if lines.is_empty() {
            lines.push(Line::styled("nothing to show", pen.tone(Tone::Faint)));
        }
        lines
    }

    fn row(&self, pen: &Pen, row: &Row) -> Line<'static> {
        let (indent, style) = match row.level {
            Level::Service => (0, Style::new().add_modifier(Modifier::BOLD)),
            Level::Endpoint => (2, Style::new()),
            Level::Apart => (0, Style::new()),
        };
        let name = cut(&row.name, self.name.saturating_sub(indent));
        let name = format!("{:indent$}{name:<width$} ", "", width = self.name - indent);
        let state = format!("{:<width$}", cut(&row.state, self.state), width = self.state);
        let mut line =
            Line::from(vec![Span::styled(name, style), Span::styled(state, pen.tone(row.tone))]);
        for figure in &self.figures {
            let (_, width) = figure.title();
            let failing =
                *figure == Figure::Errors && row.figures.is_some_and(|it| it.errors > 0.0);
            let tone = if failing { Tone::Bad } else { Tone::Plain };
            let text = format!(" {:>width$}", figure.of(row));
            line.push_span(Span::styled(text, style.patch(pen.tone(tone))));
        }
        line
    }
}

/// The beginning of a text that has no room for more.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut text: String = text.chars().take(room.saturating_sub(1)).collect();
    text.push('\u{2026}');
    text
}

const HELP: &[&str] = &[
    "n  by name        r  by requests",
    "e  by errors      l  by latency",
    "/  filter names   Esc  all again",
    "space  stand still, or go on",
    "arrows, PgUp, PgDn  scroll",
    "q, Ctrl-C  quit",
    "",
    "Figures are of the last 10 s.",
];

fn help(area: Rect, buffer: &mut Buffer) {
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::from(*line)).collect();
    let size = |wanted: usize, most: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(most);
    let widest = HELP.iter().map(|line| line.len()).max().unwrap_or(0);
    let (width, height) = (size(widest + 2, area.width), size(HELP.len() + 2, area.height));
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(over, buffer);
    Paragraph::new(lines).block(Block::bordered().title("keys")).render(over, buffer);
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::terminal::top::model::tests::{model, press};

    fn shown(model: &mut Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, false)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn on_a_usual_terminal_all_columns_are_there() {
        let expected = "\
lb-bin top  127.0.0.1:9180  up 1h 4m  by name
102 requests/s  2.5 errors/s  p50 1.2ms  p99 41ms  12 connections  2 of 4 ready
Docker 20.10.24: 7 containers, connected
NAME                              STATE        REQ/S  ERR/S    P50    P99  IN FL
app.local                         2/3 ready      100    0.5  1.2ms   41ms      5
  shop-app-1                      ready           40    0.5  1.3ms   1.2s      2
  shop-app-2                      ready           60      0  1.1ms  4.1ms      3
  shop-app-3                      connecting       0      0      -      -      0
    172.17.0.5:8484 does not accept connections yet: Connection refused (os err…
blog.local                        0/1 ready      2.0    2.0  0.2ms  0.2ms      0
  2 requests wait for one to be ready
  blog-1                          down             0      0      -      -      0
    exited (1)
  (the balancer itself)                          2.0    2.0  0.2ms  0.2ms

NOT ROUTED
(no service)                                     0.5    0.5  0.1ms  0.1ms
  refused before a service was found
shop-db-1                         ignored
  names no host: set VIRTUAL_HOST or the label lb.host
web-1                             quarantined
  VIRTUAL_PORT=\"0\": a port is a number from 1 to 65535

q quit  n r e l sort  / filter  space pause  ? help
";
        let shown = shown(&mut model(), 80, 24);
        assert_eq!(shown, expected, "{shown}");
    }

    #[test]
    fn on_a_small_one_what_matters_most_is_and_the_rest_is_scrolled_to() {
        let mut model = model();
        let top = "\
lb-bin top  127.0.0.1:9180  up 1h 4m  by
102 requests/s  2.5 errors/s  p50 1.2ms
NAME            STATE       REQ/S  ERR/S
app.local       2/3 ready     100    0.5
  shop-app-1    ready          40    0.5
  shop-app-2    ready          60      0
  shop-app-3    connecting      0      0
    172.17.0.5:8484 does not accept con…
blog.local      0/1 ready     2.0    2.0
q quit  n r e l sort  / filter  space pa
";
        let first = shown(&mut model, 40, 10);
        assert_eq!(first, top, "{first}");
        press(&mut model, "G");
        let last = shown(&mut model, 40, 10);
        assert!(last.contains("web-1") && !last.contains("shop-app-1"), "{last}");
        // Back, wider: nothing is left out that there is room for.
        let wide = shown(&mut model, 80, 40);
        assert!(wide.contains("shop-app-1"), "{wide}");
    }

    #[test]
    fn whatever_the_size_nothing_breaks() {
        let mut model = model();
        for help in ["", "?"] {
            press(&mut model, help);
            for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (49, 9), (67, 60), (300, 8)] {
                shown(&mut model, width, height);
            }
        }
    }

    #[test]
    fn what_goes_on_is_told() {
        let mut model = model();
        press(&mut model, "e /shop");
        let typing = shown(&mut model, 80, 24);
        assert!(typing.contains("/shop_") && typing.contains("PAUSED"), "{typing}");
        assert!(!typing.contains("blog"), "{typing}");
        press(&mut model, "\n");
        assert!(shown(&mut model, 80, 24).contains("by errors  only shop"));
        press(&mut model, "\x1b ?");
        let help = shown(&mut model, 80, 24);
        assert!(help.contains("keys") && help.contains("q, Ctrl-C  quit"), "{help}");
        press(&mut model, "?");
        model.shown.lost = Some("it has ended".into());
        let lost = shown(&mut model, 80, 24);
        assert!(lost.contains("connection lost, trying again: it has ended"), "{lost}");
    }

    #[test]
    fn colours_are_there_where_they_are_wanted() {
        for colored in [true, false] {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| draw(frame, &mut model(), colored)).unwrap();
            let cells = terminal.backend().buffer().content();
            let red = cells.iter().any(|cell| cell.fg == Color::Red);
            assert_eq!(red, colored);
            assert_eq!(cells.iter().all(|cell| cell.fg == Color::Reset), !colored);
        }
    }
}
