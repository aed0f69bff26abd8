//! What values look like when they are written.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use lb_core::registry::HostPattern;
use tracing_subscriber::EnvFilter;

use super::HostAndPort;

pub(super) fn endpoints<'a>(
    list: impl Iterator<Item = &'a str>,
) -> Result<Vec<HostAndPort>, String> {
    let endpoints: Vec<HostAndPort> =
        list.map(|text| endpoint(text.trim())).collect::<Result<_, _>>()?;
    if endpoints.is_empty() { Err("name one endpoint at least".into()) } else { Ok(endpoints) }
}

fn endpoint(text: &str) -> Result<HostAndPort, String> {
    const FORM: &str = "write an endpoint as IP:PORT, [IPv6]:PORT or NAME:PORT";
    let (name, port) =
        text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port; {FORM}"))?;
    let host = host(name).map_err(|error| format!("{text:?}: {error}; {FORM}"))?;
    let HostPattern::Exact(host) = host else {
        return Err(format!("{text:?}: an endpoint is one server; {FORM}"));
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => {
            let host = host.trim_matches(['[', ']']).to_owned();
            Ok(HostAndPort { host, port })
        }
        _ => Err(format!("{text:?}: a port is a number from 1 to 65535")),
    }
}

pub(super) fn any(port: u16) -> SocketAddr {
    (IpAddr::from(Ipv4Addr::UNSPECIFIED), port).into()
}

/// Port 0 lets the system choose.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(any(port));
    }
    text.parse().map_err(|_| {
        "write PORT, IP:PORT or [IPv6]:PORT, with a port from 0 (any that is free) to 65535".into()
    })
}

pub(super) fn unless_off<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == "off" { Ok(None) } else { parse(text).map(Some) }
}

pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("write on or off".into()),
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("write true or false".into()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= Duration::from_secs(24 * 60 * 60) => Ok(time),
        Ok(_) => Err("a day is the most".into()),
        Err(_) => Err("write a time with its unit, such as 250ms, 10s or 2m".into()),
    }
}

pub(super) fn number(text: &str, least: usize) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    match text.parse() {
        Ok(number) if (least..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("write a whole number from {least} to {MOST}")),
    }
}

/// Bytes, or with k, m or g the power of 1,024 as nginx has it.
pub(super) fn size(text: &str, least: u64) -> Result<u64, String> {
    let text = text.to_ascii_lowercase();
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (&*text, 1),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|&bytes| bytes >= least)
        .ok_or_else(|| format!("write a number of bytes from {least}, or as 16k, 10m or 1g"))
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0 to 1, such as 0.2".into()),
    }
}

/// A name in `Via`, which is a token there.
pub(super) fn proxy_name(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("write one word, such as lb, or off".into())
    }
}

pub(super) fn host(text: &str) -> Result<HostPattern, String> {
    from_str(text)
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; write error, warn, info or debug")),
    }
}

pub(super) fn from_str<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
