//! What one request asks for itself, in its query string.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;

use crate::duration::parse_duration;

/// The overrides a query string carries; the default overrides nothing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    /// `latency=100ms`: time before the answer.
    pub(crate) latency: Option<Duration>,
    /// `status=503`: status of the answer.
    pub(crate) status: Option<StatusCode>,
    /// `size=1024`: bytes in the body.
    pub(crate) size: Option<u64>,
    /// `pace=10ms`: time before each block of the body.
    pub(crate) pace: Option<Duration>,
    /// `chunked`: the length of the body is not told.
    pub(crate) chunked: bool,
    /// `truncate`: the body breaks off half-way, if that has two bytes or more.
    pub(crate) truncate: bool,
    /// `id=X`: the identity of the request.
    pub(crate) id: Option<String>,
    /// `hang`: no answer.
    pub(crate) hang: bool,
    /// `echo`: the request as text instead of the greeting.
    pub(crate) echo: bool,
}

impl Overrides {
    /// Reads a query string, without its question mark.
    ///
    /// Parameters this server does not know belong to someone else and are
    /// ignored. Of a parameter given twice the last counts.
    ///
    /// # Errors
    ///
    /// A value that its parameter cannot take.
    pub(crate) fn parse(query: &str) -> Result<Self, BadOverride> {
        let mut overrides = Self::default();
        for parameter in query.split('&') {
            let (key, value) = match parameter.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (parameter, None),
            };
            let bad = |remedy: String| BadOverride { parameter: parameter.to_owned(), remedy };
            let given = value.unwrap_or_default();
            match key {
                "latency" => {
                    let latency = parse_duration(given).map_err(|error| bad(error.to_string()))?;
                    overrides.latency = Some(latency);
                }
                "status" => {
                    let status = parse_status(given).ok_or_else(|| {
                        bad("write a status from 200 to 599, as in status=503".to_owned())
                    })?;
                    overrides.status = Some(status);
                }
                "size" => {
                    let size = given.parse().map_err(|_| {
                        bad("write a whole number of bytes, as in size=1024".to_owned())
                    })?;
                    overrides.size = Some(size);
                }
                "pace" => {
                    let pace = parse_duration(given).map_err(|error| bad(error.to_string()))?;
                    overrides.pace = Some(pace);
                }
                "id" => {
                    let id = parse_id(given).ok_or_else(|| {
                        bad("write up to 64 letters, digits, - and _, as in id=a-1".to_owned())
                    })?;
                    overrides.id = Some(id);
                }
                "hang" | "echo" | "chunked" | "truncate" => {
                    if value.is_some() {
                        return Err(bad(format!("write {key} alone, it takes no value")));
                    }
                    match key {
                        "hang" => overrides.hang = true,
                        "echo" => overrides.echo = true,
                        "chunked" => overrides.chunked = true,
                        _ => overrides.truncate = true,
                    }
                }
                _ => {}
            }
        }
        Ok(overrides)
    }
}

/// A parameter whose value cannot be used; says what to write instead.
#[derive(Debug)]
pub(crate) struct BadOverride {
    parameter: String,
    remedy: String,
}

impl fmt::Display for BadOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use ?{}: {}", self.parameter, self.remedy)
    }
}

/// Final statuses only: those below 200 announce another answer, and 600 and up
/// mean nothing.
fn parse_status(text: &str) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(text.as_bytes()).ok()?;
    (200..600).contains(&status.as_u16()).then_some(status)
}

/// Nothing that would look like something else in a header or a log.
fn parse_id(text: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    ((1..=64).contains(&text.len()) && text.chars().all(legal)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_parameter() {
        assert_eq!(
            Overrides::parse(
                "latency=100ms&status=503&size=1024&pace=1ms&chunked&truncate&id=a-1&hang&echo"
            )
            .unwrap(),
            Overrides {
                latency: Some(Duration::from_millis(100)),
                status: Some(StatusCode::SERVICE_UNAVAILABLE),
                size: Some(1024),
                pace: Some(Duration::from_millis(1)),
                chunked: true,
                truncate: true,
                id: Some("a-1".to_owned()),
                hang: true,
                echo: true,
            }
        );
    }

    #[test]
    fn ignores_what_is_not_its_own() {
        for query in ["", "&&", "q=1", "hanging", "Status=503", "=5"] {
            assert_eq!(Overrides::parse(query).unwrap(), Overrides::default(), "{query}");
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        let overrides = Overrides::parse("size=1&size=2").unwrap();
        assert_eq!(overrides.size, Some(2));
    }

    #[test]
    fn refusals_name_the_parameter_and_the_remedy() {
        for (query, remedy) in [
            ("latency", "as in 250ms"),
            ("latency=5", "as in 250ms"),
            ("status=", "from 200 to 599"),
            ("status=101", "from 200 to 599"),
            ("status=600", "from 200 to 599"),
            ("status=ok", "from 200 to 599"),
            ("size=-1", "whole number of bytes"),
            ("size=1k", "whole number of bytes"),
            ("pace=1", "as in 250ms"),
            ("id=", "as in id=a-1"),
            ("id=a%20b", "as in id=a-1"),
            ("hang=yes", "takes no value"),
            ("truncate=1", "takes no value"),
            ("echo=", "takes no value"),
        ] {
            let error = Overrides::parse(&format!("a=b&{query}")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot use ?{query}: ")), "{error}");
            assert!(error.contains(remedy), "{error}");
        }
    }
}
