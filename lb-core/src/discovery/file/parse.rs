use std::{collections::HashMap, error, fmt, str::FromStr};

use crate::endpoint::{Endpoint, EndpointId};

/// The endpoints that a text in the [format](super) lists, in its order.
///
/// ```
/// use lb_core::discovery::file;
///
/// let set = file::parse::<u16>(b"web 80 weight=2 # the large one")?;
/// assert_eq!(set[0].1.weight, 2);
/// # Ok::<_, file::Invalid>(())
/// ```
pub fn parse<T>(text: &[u8]) -> Result<Vec<(EndpointId, Endpoint<T>)>, Invalid>
where
    T: FromStr<Err: fmt::Display>,
{
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Invalid::new(line, "", "", "not UTF-8; save the file as plain text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut set = Vec::new();
    let mut lines: HashMap<EndpointId, usize> = HashMap::new();
    let mut empty = None;
    for (line, text) in (1..).zip(text.lines()) {
        match entry(line, text)? {
            None => {}
            Some(Entry::Empty) => empty = Some(line),
            Some(Entry::Endpoint(id, endpoint)) => {
                if let Some(first) = lines.insert(id.clone(), line) {
                    let remedy = format!(
                        "line {first} has this identity, too; drop one of them, or write another \
                         name before the target"
                    );
                    return Err(Invalid::new(line, "id", id.as_str(), remedy));
                }
                set.push((id, endpoint));
            }
        }
    }
    match empty {
        Some(line) if !set.is_empty() => {
            Err(Invalid::new(line, "word", EMPTY, "endpoints are listed, too; drop them or it"))
        }
        None if set.is_empty() => {
            let remedy = "no endpoint is listed; if that is meant, write !empty";
            Err(Invalid { line: None, ..Invalid::new(0, "", "", remedy) })
        }
        _ => Ok(set),
    }
}

/// What can't be used in a file of endpoints, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The line, from 1; `None` if it is the file as a whole.
    pub line: Option<usize>,
    /// What is meant: `id`, `target`, `weight` or another key, or a `word` that
    /// is none of them. Empty if it is the line or the file as a whole.
    pub key: String,
    /// What it is set to.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub remedy: String,
}

impl Invalid {
    fn new(line: usize, key: &str, value: &str, remedy: impl Into<String>) -> Self {
        Self { line: Some(line), key: key.into(), value: value.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}={:?}: ", self.key, self.value)?;
        }
        f.write_str(&self.remedy)
    }
}

impl error::Error for Invalid {}

/// The word that says that a file is meant to list nothing.
const EMPTY: &str = "!empty";

enum Entry<T> {
    Endpoint(EndpointId, Endpoint<T>),
    Empty,
}

fn entry<T>(line: usize, text: &str) -> Result<Option<Entry<T>>, Invalid>
where
    T: FromStr<Err: fmt::Display>,
{
    // What a crash leaves of a file is often zeros.
    if text.contains(|c: char| c.is_control() && c != '\t') {
        let remedy = "it holds a control character; save the file as plain text";
        return Err(Invalid::new(line, "", "", remedy));
    }
    let words = text.split_whitespace().take_while(|word| !word.starts_with('#'));
    let words: Vec<&str> = words.collect();
    let names = words.iter().take_while(|word| attribute(word).is_none()).count();
    let (names, attributes) = words.split_at(names);
    let (id, target) = match *names {
        [] if attributes.is_empty() => return Ok(None),
        [] => {
            let remedy = "write one, before weight= and the like";
            return Err(Invalid::new(line, "target", "", remedy));
        }
        [EMPTY] if attributes.is_empty() => return Ok(Some(Entry::Empty)),
        [word, ..] if word.starts_with('!') => {
            let remedy = "the only word with a `!` is !empty, on a line of its own";
            return Err(Invalid::new(line, "word", word, remedy));
        }
        [target] => (target, target),
        [id, target] => (id, target),
        [_, _, extra, ..] => {
            let remedy = "a line has an identity and a target at most, then key=value";
            return Err(Invalid::new(line, "word", extra, remedy));
        }
    };
    let parsed = target
        .parse()
        .map_err(|error: T::Err| Invalid::new(line, "target", target, error.to_string()))?;
    let endpoint = described(line, Endpoint::new(parsed), attributes)?;
    Ok(Some(Entry::Endpoint(id.into(), endpoint)))
}

fn described<T>(
    line: usize,
    mut endpoint: Endpoint<T>,
    words: &[&str],
) -> Result<Endpoint<T>, Invalid> {
    let mut seen = Vec::new();
    for word in words {
        let Some((key, value)) = attribute(word) else {
            let remedy = "write the identity and the target before weight= and the like";
            return Err(Invalid::new(line, "word", word, remedy));
        };
        if seen.contains(&key) {
            return Err(Invalid::new(line, key, value, "the line says it twice; drop one"));
        }
        seen.push(key);
        let number = || {
            let remedy = format!("write a whole number from 0 to {}", u32::MAX);
            value.parse::<u32>().map_err(|_| Invalid::new(line, key, value, remedy))
        };
        endpoint = match key {
            "weight" => endpoint.weight(number()?),
            "priority" => endpoint.priority(number()?),
            "zone" if value.is_empty() => {
                return Err(Invalid::new(line, key, value, "name the zone, or drop the word"));
            }
            "zone" => endpoint.zone(value),
            _ => {
                let remedy = "no such key; there are weight, priority and zone";
                return Err(Invalid::new(line, key, value, remedy));
            }
        };
    }
    Ok(endpoint)
}

/// `key=value`. A URL with a `=` in it is none: keys are letters only.
fn attribute(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    is_key.then_some((key, value))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse::<SocketAddr>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_people_write() {
        let text = "\u{feff}# all of them\r\n\r\n  10.0.0.1:80\r\n\t[::1]:80\tweight=0 # off\r\n\
                    b 10.0.0.2:80 zone=eu-1 priority=2 weight=3";
        let expected = [
            ("10.0.0.1:80", Endpoint::new("10.0.0.1:80")),
            ("[::1]:80", Endpoint::new("[::1]:80").weight(0)),
            ("b", Endpoint::new("10.0.0.2:80").zone("eu-1").priority(2).weight(3)),
        ]
        .map(|(id, endpoint)| (id.into(), endpoint.map(|target| target.parse().unwrap())));
        assert_eq!(parse::<SocketAddr>(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn targets_may_be_urls() {
        let set = parse::<String>(b"http://a/?b=c#d weight=2").unwrap();
        assert_eq!(set[0].1, Endpoint::new("http://a/?b=c#d".to_owned()).weight(2));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, expected) in [
            ("10.0.0.1", "line 1: target=\"10.0.0.1\": invalid socket address syntax"),
            ("\n\na 1.1.1.1:1 b", "line 3: word=\"b\": a line has an identity and a target"),
            ("1.1.1.1:1 weight=-1", "line 1: weight=\"-1\": write a whole number from 0 to"),
            ("1.1.1.1:1 weight=", "line 1: weight=\"\": write a whole number from 0 to"),
            ("1.1.1.1:1 weight=1 weight=2", "line 1: weight=\"2\": the line says it twice"),
            ("1.1.1.1:1 wieght=1", "line 1: wieght=\"1\": no such key; there are weight"),
            ("1.1.1.1:1 zone=", "line 1: zone=\"\": name the zone"),
            ("weight=1 1.1.1.1:1", "line 1: target=\"\": write one, before weight="),
            ("1.1.1.1:1 weight=1 x", "line 1: word=\"x\": write the identity and the target"),
            ("!empty 1.1.1.1:1", "line 1: word=\"!empty\": the only word with a `!`"),
            ("!empt", "line 1: word=\"!empt\": the only word with a `!`"),
            ("1.1.1.1:1\n!empty", "line 2: word=\"!empty\": endpoints are listed, too"),
            ("1.1.1.1:1\0", "line 1: it holds a control character"),
            ("", "no endpoint is listed; if that is meant, write !empty"),
            ("# nothing\n", "no endpoint is listed"),
            ("a 1.1.1.1:1\nb 1.1.1.1:2\na 1.1.1.1:3", "line 3: id=\"a\": line 1 has this identity"),
        ] {
            assert!(error(text).starts_with(expected), "{text:?}: {}", error(text));
        }
        let error = parse::<u16>(b"1\n2\n\xff").unwrap_err().to_string();
        assert!(error.starts_with("line 3: not UTF-8"), "{error}");
    }

    #[test]
    fn an_empty_set_has_to_be_meant() {
        assert_eq!(parse::<u16>(b"# for now\n!empty # really\n"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<u16>(&text);
        }

        #[test]
        fn what_is_written_is_read(
            set in prop::collection::btree_map("[a-z0-9.:/-]{1,9}", any::<(u16, u32, u32)>(), 1..9)
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (id, (target, weight, priority)) in set {
                text += &format!("{id} {target} priority={priority} weight={weight} # {id}\n");
                let endpoint = Endpoint::new(target).weight(weight).priority(priority);
                expected.push((id.into(), endpoint));
            }
            prop_assert_eq!(parse(text.as_bytes()), Ok(expected));
        }
    }
}
