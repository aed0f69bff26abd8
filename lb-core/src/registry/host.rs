use std::{
    error, fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// A host that requests are matched against: `example.com`, `*.example.com` or
/// `www.example.*`.
///
/// Case doesn't matter. A wildcard stands for one label or more. Names may hold
/// `_`, as Compose services do; addresses, `[IPv6]` ones in brackets, are exact
/// hosts. A port is never part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// Every host that ends so: `.example.com` for `*.example.com`.
    Suffix(Box<str>),
    /// Every host that begins so: `www.example.` for `www.example.*`.
    Prefix(Box<str>),
}

impl HostPattern {
    /// Whether `host`, in lower case and without a port, is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Suffix(end) => host.len() > end.len() && host.ends_with(&**end),
            Self::Prefix(start) => host.len() > start.len() && host.starts_with(&**start),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(end) => write!(f, "*{end}"),
            Self::Prefix(start) => write!(f, "{start}*"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text.to_ascii_lowercase();
        if host.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if host.starts_with('~') {
            return Err(InvalidHost::Regex);
        }
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = inner.parse::<Ipv6Addr>().map_err(|_| InvalidHost::Ipv6)?;
            return Ok(Self::Exact(format!("[{address}]").into()));
        }
        if host.parse::<Ipv6Addr>().is_ok() {
            return Err(InvalidHost::Ipv6);
        }
        if host.contains("://") || host.contains('/') {
            return Err(InvalidHost::Url);
        }
        if host.contains(':') {
            return Err(InvalidHost::Port);
        }
        if let Some(end) = host.strip_prefix("*.") {
            return Ok(Self::Suffix(format!(".{}", whole_name(end)?).into()));
        }
        if let Some(start) = host.strip_suffix(".*") {
            return Ok(Self::Prefix(format!("{}.", name(start)?).into()));
        }
        if host.parse::<IpAddr>().is_ok() {
            return Ok(Self::Exact(host.into()));
        }
        Ok(Self::Exact(whole_name(&host)?.into()))
    }
}

/// A host name without the dot that ends a fully qualified one.
fn whole_name(text: &str) -> Result<&str, InvalidHost> {
    name(text.strip_suffix('.').unwrap_or(text))
}

/// Labels of a host name.
fn name(name: &str) -> Result<&str, InvalidHost> {
    if name.len() > 253 {
        return Err(InvalidHost::TooLong);
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(InvalidHost::EmptyLabel);
        }
        if label.len() > 63 {
            return Err(InvalidHost::TooLong);
        }
        let bad = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_');
        if let Some(c) = label.chars().find(bad) {
            return Err(InvalidHost::Character(c));
        }
    }
    Ok(name)
}

/// Why a text is not a host that requests can be matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHost {
    /// There is no text.
    Empty,
    /// Two dots meet, or one stands at the beginning.
    EmptyLabel,
    /// A character no host name has.
    Character(char),
    /// A label of more than 63 bytes, or more than 253 in all.
    TooLong,
    /// A port is named.
    Port,
    /// A URL, or something with a path.
    Url,
    /// An IPv6 address outside brackets, or something else in brackets.
    Ipv6,
    /// A regular expression.
    Regex,
}

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no host is named"),
            Self::EmptyLabel => f.write_str("two dots meet or the name begins with one"),
            Self::Character('*') => f.write_str(
                "a `*` stands only for the first label (*.example.com) or the last (www.example.*)",
            ),
            Self::Character(c) if c.is_whitespace() => {
                f.write_str("a host has no space in it; separate several hosts by commas")
            }
            Self::Character(c) => {
                write!(f, "a host has no {c:?} in it; use letters, digits, `-`, `_` and dots")
            }
            Self::TooLong => f.write_str("a label has 63 bytes at most, a name 253"),
            Self::Port => f.write_str("leave out the port: a host is matched on every port"),
            Self::Url => f.write_str("write the host alone, without a scheme and a path"),
            Self::Ipv6 => f.write_str("write an IPv6 address in brackets, as [::1]"),
            Self::Regex => f.write_str(
                "regular expressions are not supported; name the hosts, or use *.example.com",
            ),
        }
    }
}

impl error::Error for InvalidHost {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, shown) in [
            ("app.local", "app.local"),
            ("App.LOCAL", "app.local"),
            ("app.local.", "app.local"),
            ("my_app-1", "my_app-1"),
            ("*.example.com", "*.example.com"),
            ("www.example.*", "www.example.*"),
            ("10.0.0.1", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        use InvalidHost as E;
        for (text, error) in [
            ("", E::Empty),
            ("app local", E::Character(' ')),
            ("app..local", E::EmptyLabel),
            (".local", E::EmptyLabel),
            ("app.local..", E::EmptyLabel),
            ("www.example..*", E::EmptyLabel),
            ("*", E::Character('*')),
            ("*.*", E::Character('*')),
            ("a.*.b", E::Character('*')),
            ("app.local:80", E::Port),
            ("http://app.local", E::Url),
            ("app.local/path", E::Url),
            ("::1", E::Ipv6),
            ("[app]", E::Ipv6),
            ("~^app", E::Regex),
            ("bücher.de", E::Character('ü')),
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(64).parse::<HostPattern>(), Err(E::TooLong));
    }

    #[test]
    fn a_wildcard_stands_for_a_label_at_least() {
        let pattern: HostPattern = "*.example.com".parse().unwrap();
        assert!(pattern.matches("a.example.com"));
        assert!(pattern.matches("a.b.example.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("aexample.com"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_read_again(text in ".{0,300}") {
            if let Ok(pattern) = text.parse::<HostPattern>() {
                prop_assert_eq!(pattern.to_string().parse::<HostPattern>().unwrap(), pattern);
            }
        }
    }
}
