//! What a line of the access log looks like: compiled once, written for each request.

use std::{fmt, str::FromStr, sync::Arc};

use ::http::HeaderName;

use super::{
    compile::compile,
    escape::{Escape, Mode},
    presets::{PRESETS, Preset, Style},
    variable::{Unknown, Variable},
};

/// What a line of the access log says: text with nginx's variables, as in `$status` or
/// `${status}`, or one of the [`NAMES`](Self::NAMES). The variables are in
/// `docs/access-log.md`.
///
/// ```
/// use lb_core::http::{Escape, LogFormat};
///
/// let mine: LogFormat = r#"$remote_addr "$request" $status"#.parse()?;
/// assert_ne!(mine, "combined".parse()?);
/// let error = "$remote_addr $stauts".parse::<LogFormat>().unwrap_err();
/// assert!(error.to_string().starts_with("$stauts (character 14) is no variable: is it $status?"));
/// # Ok::<_, lb_core::http::LogFormatError>(())
/// ```
///
/// With [`Escape::Json`], a format that begins with `{` is an object of JSON. A variable
/// between quotes is part of a string there. One without is a value of its own: a
/// number, a string that brings its quotes, or `null`.
#[derive(Clone, PartialEq, Eq)]
pub struct LogFormat(Arc<Compiled>);

/// A [`LogFormat`] that can't be compiled: what is wrong, where it stands, and what
/// would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormatError {
    /// The character at which it begins, counted from 1; none if it is all of it.
    pub(super) at: Option<usize>,
    pub(super) problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoName,
    Unclosed,
    Unknown { name: String, why: Unknown },
    Control,
    Constant,
    Escape { preset: &'static str },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    pub(super) segments: Box<[Segment]>,
    pub(super) captures: Captures,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(Box<str>),
    Value {
        variable: Variable,
        mode: Mode,
        /// Where what it needs is kept, if that is a header.
        slot: Option<Slot>,
    },
}

pub(super) type Slot = u16;

/// What has to be remembered of a request for its line. What no variable needs isn't.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Captures {
    /// Headers of the request as it came.
    pub(super) request: Vec<(HeaderName, Slot)>,
    /// Headers of the request as it is passed on.
    pub(super) passed: Vec<(HeaderName, Slot)>,
    /// Headers of the answer as its endpoint sent it.
    pub(super) upstream: Vec<(HeaderName, Slot)>,
    /// Headers of the answer as the client gets it.
    pub(super) sent: Vec<(HeaderName, Slot)>,
    pub(super) request_length: bool,
    pub(super) bytes_sent: bool,
    pub(super) connection_requests: bool,
    pub(super) attempts: bool,
    /// How many slots these take.
    pub(super) slots: Slot,
}

impl LogFormat {
    /// The formats that have names.
    pub const NAMES: [&str; PRESETS.len()] = {
        let mut names = [""; PRESETS.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = PRESETS[at].name;
            at += 1;
        }
        names
    };

    /// A format whose values are written this way, or one of the
    /// [`NAMES`](Self::NAMES).
    ///
    /// # Errors
    ///
    /// It names what isn't a variable, or has none at all; or it is the name of one that
    /// is written another way.
    pub fn new(text: &str, escape: Escape) -> Result<Self, LogFormatError> {
        Self::read(text, Some(escape))
    }

    /// The same of what was written for nginx. What can't be had here is `-` in each
    /// line, and told.
    pub fn of_nginx(text: &str, escape: Escape) -> (Self, Vec<LogFormatError>) {
        let (compiled, problems) = compile(text, Style::Only(escape));
        (Self(Arc::new(compiled)), problems)
    }

    fn read(text: &str, escape: Option<Escape>) -> Result<Self, LogFormatError> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == text) {
            return match (preset.style, escape) {
                (Style::Any, Some(escape)) => Ok(Self::of(preset, Style::Only(escape))),
                (Style::Only(only), Some(escape)) if only == escape => {
                    Ok(Self::of(preset, preset.style))
                }
                (_, None) => Ok(Self::of(preset, preset.style)),
                (_, Some(_)) => {
                    let problem = Problem::Escape { preset: preset.name };
                    Err(LogFormatError { at: None, problem })
                }
            };
        }
        let (compiled, problems) = compile(text, Style::Only(escape.unwrap_or_default()));
        match problems.into_iter().next() {
            None => Ok(Self(Arc::new(compiled))),
            Some(problem) => Err(problem),
        }
    }

    fn of(preset: &Preset, style: Style) -> Self {
        // A test compiles them all, and finds no problem.
        Self(Arc::new(compile(preset.text, style).0))
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.0.segments
    }

    pub(super) fn captures(&self) -> &Captures {
        &self.0.captures
    }
}

impl Default for LogFormat {
    fn default() -> Self {
        Self::of(&PRESETS[0], PRESETS[0].style)
    }
}

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, LogFormatError> {
        Self::read(text, None)
    }
}

/// The text that makes the same one, with the same [`Escape`]; but for `logstalgia`, which
/// only its name makes, and for a `$` without a name, which only
/// [`of_nginx`](LogFormat::of_nginx) takes.
impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0.segments {
            match segment {
                Segment::Text(text) => {
                    f.write_str(&text.replace('\\', "\\\\").replace('\t', "\\t"))?;
                }
                Segment::Value { variable, .. } => write!(f, "${{{variable}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFormat").field(&format_args!("{self}")).finish()
    }
}

impl fmt::Display for LogFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.unwrap_or_default();
        match &self.problem {
            Problem::NoName => write!(
                f,
                "$ (character {at}) has no name behind it: write $status or ${{status}}, as nginx \
                 does; where $$ stands for $, as in compose.yaml, write that once"
            ),
            Problem::Unclosed => {
                write!(f, "${{ (character {at}) has no }} behind its name: write ${{status}}")
            }
            Problem::Unknown { name, why: Unknown::Here(remedy) } => write!(
                f,
                "${name} (character {at}) is one of nginx that can't be had here: {remedy}, or \
                 leave it out"
            ),
            Problem::Unknown { name, why: Unknown::Everywhere(near) } => {
                write!(f, "${name} (character {at}) is no variable: ")?;
                if near.is_empty() {
                    return f.write_str("docs/access-log.md has those that there are");
                }
                let near: Vec<_> = near.iter().map(|name| format!("${name}")).collect();
                write!(f, "is it {}? docs/access-log.md has all of them", near.join(" or "))
            }
            Problem::Control => write!(
                f,
                "there is a line break or another control character (character {at}): a request \
                 is one line, so leave it out"
            ),
            Problem::Constant => write!(
                f,
                "it has no variable, such as $status, and isn't one of {}; in compose.yaml write \
                 $$ for $",
                LogFormat::NAMES.join(", ")
            ),
            Problem::Escape { preset } => write!(
                f,
                "{preset} has a way of its own to write what others say: leave that out, or write \
                 a format of your own"
            ),
        }
    }
}

impl std::error::Error for LogFormatError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<LogFormat>().unwrap_err().to_string()
    }

    #[test]
    fn names_are_formats() {
        for preset in PRESETS {
            let (_, problems) = compile(preset.text, preset.style);
            assert_eq!(problems, [], "{}", preset.name);
            assert!(preset.name.parse::<LogFormat>().is_ok());
        }
        assert_eq!(LogFormat::NAMES[0], "default");
        let same = LogFormat::new(PRESETS[1].text, Escape::Default);
        assert_eq!(same, "nginx-proxy".parse());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_a_remedy() {
        for (text, expected) in [
            (
                "$host $stauts",
                "$stauts (character 7) is no variable: is it $status? docs/access-log.md has all of them",
            ),
            (
                "é $nothing_like_it",
                "$nothing_like_it (character 3) is no variable: docs/access-log.md has those that there are",
            ),
            (
                "$host $pipe",
                "$pipe (character 7) is one of nginx that can't be had here: name $connection_requests, or leave it out",
            ),
            (
                "$upstream_cache_status",
                "$upstream_cache_status (character 1) is one of nginx that can't be had here: nothing is cached here, or leave it out",
            ),
            (
                "$host $",
                "$ (character 7) has no name behind it: write $status or ${status}, as nginx does; where $$ stands for $, as in compose.yaml, write that once",
            ),
            (
                "$$host",
                "$ (character 1) has no name behind it: write $status or ${status}, as nginx does; where $$ stands for $, as in compose.yaml, write that once",
            ),
            ("$host ${status", "${ (character 7) has no } behind its name: write ${status}"),
            (
                "${}",
                "$ (character 1) has no name behind it: write $status or ${status}, as nginx does; where $$ stands for $, as in compose.yaml, write that once",
            ),
            (
                "$host\n$status",
                "there is a line break or another control character (character 6): a request is one line, so leave it out",
            ),
            (
                "$host\\n$status",
                "there is a line break or another control character (character 6): a request is one line, so leave it out",
            ),
            (
                "jason",
                "it has no variable, such as $status, and isn't one of default, nginx-proxy, combined, json, nginx-proxy-json, logstalgia; in compose.yaml write $$ for $",
            ),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn a_preset_with_a_way_of_its_own_takes_no_other() {
        assert_eq!(LogFormat::new("json", Escape::Json), "json".parse());
        assert_ne!(LogFormat::new("combined", Escape::Json), "combined".parse());
        for (name, escape) in [("json", Escape::Default), ("logstalgia", Escape::Default)] {
            let error = LogFormat::new(name, escape).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} has a way of its own")), "{error}");
        }
    }

    #[test]
    fn what_nginx_took_is_taken() {
        let shown = |text: &str, escape| {
            let (format, problems) = LogFormat::of_nginx(text, escape);
            (format.to_string(), problems.len())
        };
        let usual = "$host $stauts ${pipe}x";
        assert_eq!(shown(usual, Escape::Default), ("${host} - -x".into(), 2));
        assert_eq!(shown(usual, Escape::None), ("${host}  x".into(), 2));
        assert_eq!(
            shown(r#"{"a":$pipe,"b":"$pipe","c":$status}"#, Escape::Json),
            (r#"{"a":null,"b":"","c":${status}}"#.into(), 2)
        );
        assert_eq!(shown("a\nb $$host", Escape::Default), ("a b $${host}".into(), 2));
        assert_eq!(shown("json", Escape::Default).1, 1, "a name is nothing to nginx");
    }

    #[test]
    fn in_json_it_matters_where_a_value_stands() {
        let modes = |text: &str, escape| -> Vec<Mode> {
            let format = LogFormat::new(text, escape).unwrap();
            let mode = |segment: &Segment| match segment {
                Segment::Text(_) => None,
                Segment::Value { mode, .. } => Some(*mode),
            };
            format.segments().iter().filter_map(mode).collect()
        };
        // In a format, `\\` is one backslash.
        let text = r#"{"a":"$status","b":$status,"c\\"":"\\"$status",$status:1}"#;
        let expected = [Mode::InString, Mode::Value, Mode::InString, Mode::Value];
        assert_eq!(modes(&text.replace(r#"\\""#, r#"\\\""#), Escape::Json), expected);
        assert_eq!(modes("$status \"$status\"", Escape::Json), [Mode::InString; 2]);
        assert_eq!(modes("$host $status", Escape::Default), [Mode::Word, Mode::Default]);
    }

    #[test]
    fn only_what_is_named_is_kept() {
        let captures = |text: &str| -> (usize, usize, usize, usize) {
            let format: LogFormat = text.parse().unwrap();
            let Captures { request, passed, upstream, sent, .. } = format.captures();
            (request.len(), passed.len(), upstream.len(), sent.len())
        };
        assert_eq!(captures("$status $request_time"), (0, 0, 0, 0));
        assert_eq!(captures("$http_a $http_A $host $http_host $cookie_a $cookie_b"), (3, 0, 0, 0));
        assert_eq!(captures("$request_id $upstream_http_a $sent_http_a"), (0, 1, 1, 1));
    }

    proptest! {
        #[test]
        fn any_text_is_a_format_or_told_why_not(text in "([ -~é\n]|\\$[a-z_]{0,12}|\\$\\{status\\}){0,20}") {
            for escape in [Escape::Default, Escape::Json, Escape::None] {
                let (format, problems) = LogFormat::of_nginx(&text, escape);
                match LogFormat::new(&text, escape) {
                    Ok(strict) => {
                        prop_assert!(problems.is_empty());
                        prop_assert_eq!(&strict, &format);
                        let again = LogFormat::new(&strict.to_string(), escape);
                        prop_assert_eq!(again.as_ref(), Ok(&strict), "{}", strict);
                    }
                    Err(error) => {
                        prop_assert_eq!(problems.first(), Some(&error));
                        prop_assert!(error.to_string().len() > 20);
                    }
                }
            }
        }
    }
}
