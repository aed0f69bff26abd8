use std::{borrow::Cow, fmt, ops::Deref};

/// Header or trailer fields, in their order, names and values byte for byte. A
/// value is without the spaces around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// The values of this field, whatever the case of its name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// The first value of this field.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of this field, joined with `, `, as text; what isn't ASCII is
    /// escaped.
    pub fn text(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.all(name).map(|value| value.escape_ascii().to_string()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The names as they were spelled.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &name[..])
    }

    /// Whether a list, such as `Connection`, has this element; case doesn't count.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|known| known.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
    }
}

/// How the end of a message's body is found (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By its length in bytes.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
    /// It ends with the connection; only answers do.
    UntilClose,
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no body"),
            Self::Length(length) => write!(f, "length {length}"),
            Self::Chunked => f.write_str("chunked"),
            Self::UntilClose => f.write_str("until close"),
        }
    }
}

/// A well-formed request, as a [`Backend`](super::Backend) saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target as it was written.
    pub target: Vec<u8>,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The header fields; its methods are those of the request as well.
    pub headers: Headers,
    /// How the end of the body is found.
    pub framing: Framing,
    /// The content so far, without the framing.
    pub body: Vec<u8>,
    /// The fields behind the last chunk.
    pub trailers: Headers,
    /// Whether all of it has arrived.
    pub complete: bool,
    /// Its place among all that the backend has seen, whatever the connection.
    pub number: u64,
}

impl Deref for Seen {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.headers
    }
}

impl Seen {
    /// The target; what isn't ASCII is escaped.
    pub fn path(&self) -> String {
        self.target.escape_ascii().to_string()
    }

    /// The content; what isn't ASCII is replaced.
    pub fn content(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// A well-formed answer, as a [`Client`](super::Client) got it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The header fields; its methods are those of the answer as well.
    pub headers: Headers,
    /// How the end of the body is found.
    pub framing: Framing,
    /// The content so far, without the framing.
    pub body: Vec<u8>,
    /// The fields behind the last chunk.
    pub trailers: Headers,
    /// The answers with a status below 200 that came before.
    pub interim: Vec<Answer>,
}

impl Deref for Answer {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.headers
    }
}

impl Answer {
    /// The content; what isn't ASCII is replaced.
    pub fn content(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}
