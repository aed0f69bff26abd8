//! Options of `load`.

use std::time::Duration;

use app_bin::parse_duration;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::schedule::{Schedule, Shape};

/// How long it takes, unless told otherwise.
const DURATION: Duration = Duration::from_secs(60);

/// The same of a soak.
const SOAK: Duration = Duration::from_secs(30 * 60);

/// Options of `load`.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Where requests go; http only
    #[arg(value_name = "URL", value_parser = parse_url)]
    pub(crate) url: Uri,
    /// Requests per second; with ramp and spike, at the peak
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "200",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(crate) rate: u32,
    /// For how long new requests are sent [default: 1m; of a soak 30m]
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    duration: Option<Duration>,
    /// How the rate changes over that time
    #[arg(long, value_name = "SHAPE", default_value = "steady")]
    pub(crate) shape: ShapeName,
    /// Connections that are kept, and requests under way at once
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "32",
        value_parser = clap::value_parser!(u16).range(1..=10_000)
    )]
    pub(crate) connections: u16,
    /// Paths to ask for in turn, with their queries, separated by commas, instead of
    /// the URL's
    #[arg(
        long,
        value_name = "PATHS",
        value_delimiter = ',',
        value_parser = parse_path
    )]
    pub(crate) paths: Vec<Uri>,
    /// Host to ask for, instead of the URL's
    #[arg(long, value_name = "HOST", value_parser = parse_value)]
    pub(crate) host: Option<HeaderValue>,
    /// Another header, or another User-Agent or Host; can be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = parse_header)]
    pub(crate) header: Vec<(HeaderName, HeaderValue)>,
    /// Method of the requests
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: Method,
    /// Body of the requests [default: none]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) body: String,
    /// Longest time from when a request is due to the end of its answer
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "20s",
        value_parser = parse_positive
    )]
    pub(crate) timeout: Duration,
    /// Header of the answers that names who answered, instead of the greeting
    /// "served from NAME"
    #[arg(long, value_name = "NAME")]
    pub(crate) name_header: Option<HeaderName>,
}

impl LoadArgs {
    /// When requests are due.
    pub(crate) fn schedule(&self) -> Schedule {
        let shape = match self.shape {
            ShapeName::Steady | ShapeName::Soak => Shape::Steady,
            ShapeName::Ramp => Shape::Ramp,
            ShapeName::Spike => Shape::Spike,
        };
        Schedule::new(shape, self.rate.into(), self.duration())
    }

    /// For how long new requests are sent.
    pub(crate) fn duration(&self) -> Duration {
        let default = if self.shape == ShapeName::Soak { SOAK } else { DURATION };
        self.duration.unwrap_or(default)
    }

    /// What was asked for, in a line.
    pub(crate) fn describe(&self) -> String {
        let Self { url, rate, shape, connections, method, .. } = self;
        let shape = shape.to_possible_value();
        let shape = shape.as_ref().map_or("", PossibleValue::get_name);
        format!("{method} {url}, {shape} {rate}/s, {connections} connections")
    }
}

/// How the rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShapeName {
    /// It doesn't
    Steady,
    /// From nothing to the rate, evenly
    Ramp,
    /// A fifth of the rate, and all of it in the middle fifth of the time
    Spike,
    /// As steady, for 30 minutes
    Soak,
}

fn parse_url(text: &str) -> Result<Uri, &'static str> {
    const REMEDY: &str = "not a URL of http: write it as in http://localhost:8080/";
    let url: Uri = text.parse().map_err(|_| REMEDY)?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        Err("names a user: leave that out, and give it as in --header 'Authorization: Basic …'")
    } else if url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty()) {
        Ok(url)
    } else {
        Err(REMEDY)
    }
}

fn parse_path(text: &str) -> Result<Uri, &'static str> {
    let path: Option<Uri> = text.strip_prefix('/').and_then(|_| text.parse().ok());
    path.filter(|path| path.scheme().is_none() && path.authority().is_none())
        .ok_or("not a path: write it as in /a?b=c")
}

fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("no time at all: write it as in 30s or 5m".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_value(text: &str) -> Result<HeaderValue, &'static str> {
    text.parse().map_err(|_| "not a header's value: write it as in app.local")
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let parsed = text
        .split_once(':')
        .and_then(|(name, value)| Some((name.parse().ok()?, value.trim().parse().ok()?)));
    parsed.ok_or("not a header: write it as in \"X-Forwarded-For: 192.0.2.1\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_and_paths() {
        assert_eq!(parse_url("http://[::1]:81/a?b").unwrap().port_u16(), Some(81));
        for url in ["", "localhost", "localhost:80", "https://localhost", "http://", "/a"] {
            assert!(parse_url(url).unwrap_err().contains("as in"), "{url}");
        }
        assert!(parse_url("http://me:secret@localhost/").unwrap_err().contains("Authorization"));
        assert_eq!(parse_path("/a?b=c").unwrap().query(), Some("b=c"));
        assert_eq!(parse_path("//a").unwrap().path(), "//a");
        for path in ["", "a", "http://a/", "*", "/ü\u{0}"] {
            assert!(parse_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn reads_headers() {
        let (name, value) = parse_header("X-Forwarded-For: 192.0.2.1").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-forwarded-for", "192.0.2.1"));
        for header in ["", "a", ": b", "a b: c", "a: b\nc"] {
            assert!(parse_header(header).is_err(), "{header:?}");
        }
    }
}
