//! `app-bin check`: a health check for images without a shell.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hyper::Uri;

use crate::cli::{Admin, CheckArgs};

/// Time a check takes at most.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Most bytes of an answer's first line worth reading.
const LINE: u64 = 1024;

/// Asks a server for its health.
///
/// # Errors
///
/// There is nothing to ask, no answer in [`TIMEOUT`], or one other than 200.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let target = match &args.url {
        Some(url) => Target::parse(url)?,
        None => Target::of(args.admin)?,
    };
    let shown = target.to_string();

    // One bound over looking up the name, connecting, writing and reading. The
    // thread may be left behind: the process ends next.
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(target.status()));
    let status = receiver
        .recv_timeout(TIMEOUT)
        .map_err(|_| anyhow!("no answer from {shown} in {} s", TIMEOUT.as_secs()))?
        .with_context(|| format!("cannot ask {shown}"))?;
    if status != 200 {
        bail!("unhealthy: {shown} answered {status}");
    }
    Ok(())
}

/// What to ask.
#[derive(Debug, PartialEq)]
struct Target {
    host: String,
    port: u16,
    path: String,
}

impl Target {
    /// `/healthz` of a server with this control address.
    fn of(admin: Admin) -> anyhow::Result<Self> {
        let Admin::At(address) = admin else {
            bail!(
                "nothing to check: the control address is off (--admin, APP_ADMIN); set it, or give a --url"
            );
        };
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let host = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Ok(Self { host, port: address.port(), path: "/healthz".to_owned() })
    }

    fn parse(url: &str) -> anyhow::Result<Self> {
        let example = "write it as in http://127.0.0.1:8485/healthz";
        let uri: Uri =
            url.parse().with_context(|| format!("cannot read the URL {url:?}: {example}"))?;
        if uri.scheme_str() != Some("http") {
            bail!("cannot check {url:?}, only http: {example}");
        }
        let host = uri.host().with_context(|| format!("no host in {url:?}: {example}"))?;
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// The status of the answer.
    fn status(&self) -> anyhow::Result<u16> {
        let Self { host, port, path } = self;
        // The brackets of an IPv6 address belong to URLs only.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let mut stream = TcpStream::connect((name, *port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(std::io::Read::take(stream, LINE)).read_line(&mut line)?;
        parse_status_line(&line)
            .with_context(|| format!("not an HTTP answer: {:?}", line.trim_end()))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

fn parse_status_line(line: &str) -> Option<u16> {
    let mut words = line.strip_prefix("HTTP/1.")?.split_ascii_whitespace();
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn of(address: &str) -> String {
        let address: SocketAddr = address.parse().unwrap();
        Target::of(Admin::At(address)).unwrap().to_string()
    }

    #[test]
    fn all_interfaces_are_asked_at_loopback() {
        assert_eq!(of("0.0.0.0:8485"), "http://127.0.0.1:8485/healthz");
        assert_eq!(of("[::]:1"), "http://[::1]:1/healthz");
        assert_eq!(of("10.0.0.1:80"), "http://10.0.0.1:80/healthz");
    }

    #[test]
    fn off_has_nothing_to_check() {
        let error = Target::of(Admin::Off).unwrap_err().to_string();
        assert!(error.contains("--url"), "{error}");
    }

    #[test]
    fn reads_urls() {
        let shown = |url| Target::parse(url).map(|target| target.to_string());
        assert_eq!(shown("http://web").unwrap(), "http://web:80/");
        assert_eq!(shown("http://[::1]:8/a?b").unwrap(), "http://[::1]:8/a?b");
        for url in ["", "web:80", "https://web/", "/healthz"] {
            let error = format!("{:#}", shown(url).unwrap_err());
            assert!(error.contains("as in http://"), "{error}");
        }
    }

    #[test]
    fn reads_status_lines() {
        assert_eq!(parse_status_line("HTTP/1.1 503 Service Unavailable\r\n"), Some(503));
        assert_eq!(parse_status_line("HTTP/1.0 200\r\n"), Some(200));
        for line in ["", "SSH-2.0-x", "HTTP/1.1", "HTTP/1.1 ok"] {
            assert_eq!(parse_status_line(line), None, "{line}");
        }
    }
}
