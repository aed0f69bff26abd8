//! `lb-bin explain`: why something is routed or not, and where a request would go.

mod container;
mod request;

use anyhow::bail;
use hyper::StatusCode;

use super::{
    admin::{Admin, read},
    output::print,
    text::{Tone, colored, harmless, toned},
};
use crate::explain::{Explanation, Question};

/// Prints the answer, for people or as the balancer gives it, and says whether what was
/// asked for would be served.
pub(crate) async fn explain(admin: Admin, question: &Question, json: bool) -> anyhow::Result<bool> {
    let target = question.target();
    let answer = admin.ask(&target).await?;
    if answer.status == StatusCode::BAD_REQUEST {
        bail!("{}", harmless(answer.body.trim_end()));
    }
    let body = admin.expect(&target, answer)?;
    let explanation: Explanation = read("/explain", &body)?;
    print(&if json { body } else { render(&explanation, colored()) })?;
    Ok(explanation.served)
}

fn render(explanation: &Explanation, colored: bool) -> String {
    let mut page = Page { text: String::new(), colored };
    for one in &explanation.containers {
        container::render(&mut page, one);
    }
    if let Some(one) = &explanation.request {
        request::render(&mut page, explanation, one);
    }
    page.text
}

/// Lines, of what others may have written.
struct Page {
    text: String,
    colored: bool,
}

impl Page {
    /// A line of its own, behind an empty one if anything is above it.
    fn verdict(&mut self, good: bool, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let tone = if good { Tone::Good } else { Tone::Bad };
        self.text.push_str(&toned(&harmless(text), tone, self.colored));
        self.text.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.text.push_str("  ");
        self.text.push_str(&harmless(text));
        self.text.push('\n');
    }

    /// A line that begins with a short word in this tone.
    fn answer(&mut self, word: &str, tone: Tone, text: &str) {
        let padding = " ".repeat(5_usize.saturating_sub(word.len()));
        let word = toned(word, tone, self.colored);
        self.text.push_str(&format!("  {word}{padding}{}\n", harmless(text)));
    }

    /// A line about one thing.
    fn fact(&mut self, what: &str, text: &str) {
        self.line(&format!("{what:<13}{text}"));
    }
}

/// A part of 1 as percent: without digits behind the point where there are enough
/// before it.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 9.95 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// What the parts of a service's endpoints are reckoned by.
fn reckoned(basis: &str) -> &'static str {
    match basis {
        "turns" => "each in turn",
        "draws" => "drawn at random",
        "load" => "if all are equally busy and quick; the less busy get more",
        "keys" => "of all clients; each client has one",
        "last_resort" => "as a last resort, since nobody is ready",
        _ => "as things are",
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn parts_are_percent() {
        for (share, text) in
            [(0.0, "0 %"), (1.0 / 3.0, "33 %"), (1.0, "100 %"), (0.0123, "1.2 %"), (0.0997, "10 %")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
