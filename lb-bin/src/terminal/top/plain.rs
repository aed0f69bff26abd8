//! The same as text, once.

use super::{
    figures::{engine, rate, summary, time, uptime},
    model::View,
    rows::{Level, Sort, rows},
};
use crate::terminal::{
    table::{Cell, Table},
    text::{Tone, harmless, toned},
};

/// All of it, whatever the width.
pub(super) fn render(view: &View, address: &str, colored: bool) -> String {
    let mut out = format!("lb-bin {} at {address}", harmless(&view.state.version));
    if let Some(uptime) = uptime(view) {
        out.push_str(&format!(", {uptime}"));
    }
    let window = view.traffic.window;
    out.push_str(&format!("; figures of the last {window:.0} s\n{}\n", summary(view).join(", ")));
    if let Some((line, fine)) = engine(view) {
        let tone = if fine { Tone::Plain } else { Tone::Bad };
        out.push_str(&toned(&harmless(&line), tone, colored));
        out.push('\n');
    }
    let titles = ["NAME", "STATE", ">REQ/S", ">ERR/S", ">P50", ">P99", ">IN FLIGHT", "WHY"];
    let mut table = Table::new(&titles);
    for row in rows(view, Sort::Name, "") {
        let indent = if row.level == Level::Endpoint { "  " } else { "" };
        let figure = |figure: &dyn Fn(&crate::terminal::answers::Figures) -> String| {
            Cell::from(row.figures.as_ref().map(figure).unwrap_or_default())
        };
        table.row(vec![
            format!("{indent}{}", row.name).into(),
            Cell::toned(&row.state, row.tone),
            figure(&|it| rate(it.rate)),
            figure(&|it| rate(it.errors)),
            figure(&|it| time(it.p50)),
            figure(&|it| time(it.p99)),
            row.in_flight.map(|n| n.to_string()).unwrap_or_default().into(),
            row.why.as_str().into(),
        ]);
    }
    out.push('\n');
    out.push_str(&table.render("", colored));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::top::model::tests::view;

    #[test]
    fn all_there_is_to_see_is_in_it() {
        let expected = "\
lb-bin 0.1.0 at 127.0.0.1:9180, up 1h 4m; figures of the last 10 s
102 requests/s, 2.5 errors/s, p50 1.2ms, p99 41ms, 12 connections, 2 of 4 ready
Docker 20.10.24: 7 containers, connected

NAME                     STATE        REQ/S  ERR/S    P50    P99  IN FLIGHT  WHY
app.local                2/3 ready      100    0.5  1.2ms   41ms          5
  shop-app-1             ready           40    0.5  1.3ms   1.2s          2
  shop-app-2             ready           60      0  1.1ms  4.1ms          3
  shop-app-3             connecting       0      0      -      -          0  172.17.0.5:8484 does not accept connections yet: Connection refused (os error 111)
blog.local               0/1 ready      2.0    2.0  0.2ms  0.2ms          0  2 requests wait for one to be ready
  blog-1                 down             0      0      -      -          0  exited (1)
  (the balancer itself)                 2.0    2.0  0.2ms  0.2ms
(no service)                            0.5    0.5  0.1ms  0.1ms             refused before a service was found
shop-db-1                ignored                                             names no host: set VIRTUAL_HOST or the label lb.host
web-1                    quarantined                                         VIRTUAL_PORT=\"0\": a port is a number from 1 to 65535
";
        let shown = render(&view(), "127.0.0.1:9180", false);
        assert_eq!(shown, expected, "{shown}");
    }
}
