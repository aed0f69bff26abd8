//! What is said over the control socket: one line asks, the rest answers.
//!
//! A take-over goes on from there. The answer comes with the sockets; then
//! `serving ADDRESS...` says which of them are accepted from, and `leaving` that
//! the other one no longer does. `stopping` says, in place of either answer, that
//! it ends anyway.

use std::{fmt, net::SocketAddr};

/// The longest line, and the longest message that comes with sockets.
pub(crate) const LONGEST: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Drain(String),
    Undrain(String),
    Reload,
    TakeOver,
}

impl Question {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb, rest.trim()) {
            ("drain", who) if !who.is_empty() => Some(Self::Drain(who.into())),
            ("undrain", who) if !who.is_empty() => Some(Self::Undrain(who.into())),
            ("reload", "") => Some(Self::Reload),
            ("take-over", "") => Some(Self::TakeOver),
            _ => None,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain(who) => write!(f, "drain {}", one_line(who)),
            Self::Undrain(who) => write!(f, "undrain {}", one_line(who)),
            Self::Reload => f.write_str("reload"),
            Self::TakeOver => f.write_str("take-over"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done(String),
    Failed(String),
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Without its end, it may be half an answer.
        let text = text.strip_suffix('\n')?;
        text.strip_prefix("ok ")
            .map(|text| Self::Done(text.into()))
            .or_else(|| text.strip_prefix("error ").map(|why| Self::Failed(why.into())))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(text) => writeln!(f, "ok {text}"),
            Self::Failed(why) => writeln!(f, "error {why}"),
        }
    }
}

/// What comes with the sockets: who is drained, by identity.
pub(crate) fn sockets(drained: &[String]) -> String {
    let mut message = "sockets".to_owned();
    for id in drained.iter().map(|id| one_line(id)) {
        // A message that is too long would be lost with all that is in it.
        if message.len() + id.len() + 2 < LONGEST {
            message.push(' ');
            message.push_str(&id);
        }
    }
    message + "\n"
}

pub(crate) fn parse_sockets(message: &str) -> Option<Vec<String>> {
    let mut words = message.strip_suffix('\n')?.split(' ');
    (words.next() == Some("sockets")).then(|| words.map(str::to_owned).collect())
}

pub(crate) fn serving(addresses: &[SocketAddr]) -> String {
    let addresses = addresses.iter().map(|address| format!(" {address}"));
    format!("serving{}\n", addresses.collect::<String>())
}

pub(crate) fn parse_serving(line: &str) -> Option<Vec<SocketAddr>> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    (words.next() == Some("serving")).then(|| words.map(|word| word.parse().ok()).collect())?
}

pub(crate) const LEAVING: &str = "leaving\n";

pub(crate) const STOPPING: &str = "stopping\n";

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for question in [
            Question::Drain("shop-app-1".into()),
            Question::Undrain("3f".into()),
            Question::Reload,
            Question::TakeOver,
        ] {
            assert_eq!(Question::parse(&format!("{question}\n")), Some(question));
        }
        for answer in [Answer::Done("a: b".into()), Answer::Failed("a\nb".into())] {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
        let drained = vec!["3f".to_owned(), "10.0.0.1:80".to_owned()];
        assert_eq!(parse_sockets(&sockets(&drained)), Some(drained));
        assert_eq!(parse_sockets(&sockets(&[])), Some(vec![]));
        let addresses = vec!["[::]:80".parse().unwrap(), "127.0.0.1:9180".parse().unwrap()];
        assert_eq!(parse_serving(&serving(&addresses)), Some(addresses));
    }

    #[test]
    fn what_makes_no_sense_is_not() {
        for line in ["", "drain", "drain ", "reload now", "stop"] {
            assert_eq!(Question::parse(line), None, "{line}");
        }
        for line in ["", "ok half", "maybe\n"] {
            assert_eq!(Answer::parse(line), None, "{line}");
        }
        assert_eq!(parse_serving("serving 127.0.0.1:80"), None, "half a line");
        assert_eq!(parse_serving("serving somewhere\n"), None);
    }

    #[test]
    fn a_question_is_one_line() {
        assert_eq!(Question::Drain("a\nreload".into()).to_string(), "drain a reload");
    }
}
