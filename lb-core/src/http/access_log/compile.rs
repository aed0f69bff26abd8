//! How the text of a format becomes what is written for each request.

use ::http::{HeaderName, header};

use super::{
    escape::{Escape, Mode},
    format::{Captures, Compiled, LogFormatError, Problem, Segment, Slot},
    presets::Style,
    variable::Variable,
};
use crate::http::{
    forwarding::{X_FORWARDED_FOR, X_REQUEST_ID},
    trace::TRACEPARENT,
};

/// What `text` says in this style, and what is wrong with it.
pub(super) fn compile(text: &str, style: Style) -> (Compiled, Vec<LogFormatError>) {
    let mut compiler = Compiler::new(text, style);
    let mut text = text.chars().zip(1..).peekable();
    while let Some((char, at)) = text.next() {
        match char {
            '$' => {
                let braced = text.next_if(|&(char, _)| char == '{').is_some();
                let mut name = String::new();
                let part = |&(char, _): &(char, usize)| char.is_ascii_alphanumeric() || char == '_';
                while let Some((char, _)) = text.next_if(part) {
                    name.push(char);
                }
                if name.is_empty() {
                    compiler.problem(at, Problem::NoName);
                    compiler.text('$');
                } else if braced && text.next_if(|&(char, _)| char == '}').is_none() {
                    compiler.problem(at, Problem::Unclosed);
                    compiler.nothing();
                } else {
                    match Variable::find(&name) {
                        Ok(variable) => compiler.value(variable),
                        Err(why) => {
                            compiler.problem(at, Problem::Unknown { name, why });
                            compiler.nothing();
                        }
                    }
                }
            }
            // What nginx makes of a text in quotes, where formats stand.
            '\\' => match text
                .next_if(|(char, _)| matches!(char, '"' | '\'' | '\\' | 't' | 'n' | 'r'))
            {
                Some(('t', _)) => compiler.text('\t'),
                Some(('n' | 'r', _)) => compiler.control(at),
                Some((char, _)) => compiler.text(char),
                None => compiler.text('\\'),
            },
            '\t' => compiler.text('\t'),
            _ if char.is_control() => compiler.control(at),
            _ => compiler.text(char),
        }
    }
    compiler.finish()
}

struct Compiler {
    style: Style,
    segments: Vec<Segment>,
    captures: Captures,
    /// What comes before the next value.
    text: String,
    /// Where in JSON this is, if it is JSON.
    json: Option<Json>,
    problems: Vec<LogFormatError>,
}

#[derive(Default)]
struct Json {
    in_string: bool,
    /// The next character is to be taken as it is.
    escaped: bool,
}

impl Compiler {
    fn new(text: &str, style: Style) -> Self {
        let is_json = style == Style::Only(Escape::Json) && text.trim_start().starts_with('{');
        Self {
            style,
            segments: Vec::new(),
            captures: Captures::default(),
            text: String::new(),
            json: is_json.then(Json::default),
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, at: usize, problem: Problem) {
        self.problems.push(LogFormatError { at: Some(at), problem });
    }

    fn control(&mut self, at: usize) {
        self.problem(at, Problem::Control);
        self.text(' ');
    }

    fn text(&mut self, char: char) {
        self.text.push(char);
        if let Some(json) = &mut self.json {
            match char {
                _ if json.escaped => json.escaped = false,
                '\\' => json.escaped = json.in_string,
                '"' => json.in_string = !json.in_string,
                _ => {}
            }
        }
    }

    /// Where a value would be that can't be had.
    fn nothing(&mut self) {
        self.text += match self.mode(None) {
            Mode::Value => "null",
            Mode::InString | Mode::None => "",
            Mode::Default | Mode::Word | Mode::Column => "-",
        };
    }

    fn value(&mut self, variable: Variable) {
        self.end_text();
        let mode = self.mode(Some(&variable));
        let slot = self.captures.add(&variable);
        self.segments.push(Segment::Value { variable, mode, slot });
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.segments.push(Segment::Text(text.into()));
        }
    }

    fn mode(&self, variable: Option<&Variable>) -> Mode {
        match self.style {
            Style::Columns => Mode::Column,
            Style::Only(Escape::None) => Mode::None,
            Style::Only(Escape::Json) => match &self.json {
                Some(json) if !json.in_string => Mode::Value,
                _ => Mode::InString,
            },
            // Who forges one must not get more than one field.
            Style::Any | Style::Only(Escape::Default) => match variable {
                Some(
                    Variable::HttpHost
                    | Variable::Host
                    | Variable::SslServerName
                    | Variable::RemoteUser,
                ) => Mode::Word,
                _ => Mode::Default,
            },
        }
    }

    fn finish(mut self) -> (Compiled, Vec<LogFormatError>) {
        let is_value = |segment: &Segment| matches!(segment, Segment::Value { .. });
        self.end_text();
        if self.problems.is_empty() && !self.segments.iter().any(is_value) {
            self.problems.push(LogFormatError { at: None, problem: Problem::Constant });
        }
        let compiled = Compiled { segments: self.segments.into(), captures: self.captures };
        (compiled, self.problems)
    }
}

impl Captures {
    fn add(&mut self, variable: &Variable) -> Option<Slot> {
        let Self { request, passed, upstream, sent, slots, .. } = self;
        let mut keep = |from: &mut Vec<(HeaderName, Slot)>, name: &HeaderName| {
            if let Some((_, slot)) = from.iter().find(|(known, _)| known == name) {
                return Some(*slot);
            }
            let slot = *slots;
            // More than that nobody writes; what is beyond isn't there.
            *slots = slots.checked_add(1)?;
            from.push((name.clone(), slot));
            Some(slot)
        };
        match variable {
            Variable::Http(name) => return keep(request, name),
            Variable::Host | Variable::HttpHost => return keep(request, &header::HOST),
            Variable::RemoteUser => return keep(request, &header::AUTHORIZATION),
            Variable::Cookie(_) => return keep(request, &header::COOKIE),
            Variable::RequestId => return keep(passed, &X_REQUEST_ID),
            Variable::TraceId => return keep(passed, &TRACEPARENT),
            Variable::ProxyAddXForwardedFor => return keep(passed, &X_FORWARDED_FOR),
            Variable::UpstreamHttp(name) => return keep(upstream, name),
            Variable::SentHttp(name) => return keep(sent, name),
            Variable::RequestLength => self.request_length = true,
            Variable::BytesSent => self.bytes_sent = true,
            Variable::ConnectionRequests => self.connection_requests = true,
            Variable::UpstreamAddr
            | Variable::UpstreamStatus
            | Variable::UpstreamConnectTime
            | Variable::UpstreamHeaderTime
            | Variable::UpstreamResponseTime => self.attempts = true,
            _ => {}
        }
        None
    }
}
