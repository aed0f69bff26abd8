//! Version 1: a line of text (section 2.1).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::{Addresses, Header, Malformed, Parsed, one_family};

/// The header of version 1, for a connection between these two ends. `UNKNOWN`, which
/// some receivers reject, if there are none, or if they are of different families.
pub fn write(addresses: Option<Addresses>) -> Vec<u8> {
    let Some(Addresses { source, destination }) = one_family(addresses) else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// Whatever begins so is version 1 or nothing (section 2.2, at its end).
pub(super) const SIGNATURE: &[u8] = b"PROXY";

/// Of the longest line, with its CRLF.
pub(super) const MAX_LEN: usize = 107;

/// Of the shortest line, which is `PROXY UNKNOWN`.
const MIN_LEN: usize = 15;

/// Parses what begins with the signature, or is the beginning of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let window = &bytes[..bytes.len().min(MAX_LEN)];
    let end = window.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = match end.map(|end| window.split_at(end)) {
        Some((line, [b'\r', b'\n', ..])) => line,
        Some((_, rest)) if rest != b"\r" => return Err(Malformed::LineEnd),
        _ if window.len() == MAX_LEN => return Err(Malformed::Endless),
        _ => return Ok(Parsed::Incomplete { needed: (bytes.len() + 1).max(MIN_LEN) }),
    };
    let header = Header { length: line.len() + 2, ..Header::default() };
    let line = line.strip_prefix(b"PROXY ").ok_or(Malformed::Protocol)?;
    // Whatever else such a line says is to be ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Parsed::Header(header));
    }
    let line = str::from_utf8(line).map_err(|_| Malformed::Fields)?;
    let addresses = if let Some(fields) = line.strip_prefix("TCP4 ") {
        read::<Ipv4Addr>(fields)?
    } else if let Some(fields) = line.strip_prefix("TCP6 ") {
        read::<Ipv6Addr>(fields)?
    } else {
        return Err(Malformed::Protocol);
    };
    Ok(Parsed::Header(Header { addresses: Some(addresses), ..header }))
}

fn read<A: FromStr + Into<IpAddr>>(fields: &str) -> Result<Addresses, Malformed> {
    let fields: Vec<_> = fields.split(' ').collect();
    let [from, to, from_port, to_port] = fields[..] else { return Err(Malformed::Fields) };
    let end = |ip: &str, port: &str| {
        let ip: A = ip.parse().map_err(|_| Malformed::Address)?;
        Ok(SocketAddr::new(ip.into(), self::port(port)?))
    };
    Ok(Addresses { source: end(from, from_port)?, destination: end(to, to_port)? })
}

/// Unlike `u16::from_str`: no plus, no zero in front.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Parsed, Malformed> {
        parse(text.as_bytes())
    }

    #[test]
    fn lines() {
        for (text, source, destination) in [
            ("TCP4 192.168.0.1 192.168.0.11 56324 443", "192.168.0.1:56324", "192.168.0.11:443"),
            ("TCP4 255.255.255.255 0.0.0.0 65535 0", "255.255.255.255:65535", "0.0.0.0:0"),
            ("TCP6 2001:DB8::1 ::1 1 2", "[2001:db8::1]:1", "[::1]:2"),
            ("TCP6 :: 0001:2:3:4:5:6:7:8 1 2", "[::]:1", "[1:2:3:4:5:6:7:8]:2"),
            // As every C library writes them.
            ("TCP6 ::ffff:1.2.3.4 ::1 1 2", "[::ffff:1.2.3.4]:1", "[::1]:2"),
        ] {
            let header = Header {
                length: text.len() + 8,
                addresses: Some(Addresses {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                }),
                ..Header::default()
            };
            let text = format!("PROXY {text}\r\nGET / HTTP/1.1\r\n");
            assert_eq!(line(&text), Ok(Parsed::Header(header)), "{text:?}");
        }
    }

    #[test]
    fn nobody_is_named() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LEN - 16));
        for text in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 \u{ff} 0 x\r\n", &longest] {
            let header = Header { length: text.len(), ..Header::default() };
            assert_eq!(line(text), Ok(Parsed::Header(header)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_such_line() {
        use Malformed as M;
        for (text, error) in [
            ("TCP4 1.2.3.4 5.6.7.8 1 2\n", M::LineEnd),
            ("TCP4 1.2.3.4 5.6.7.8 1 2\rG", M::LineEnd),
            ("TCP4 1.2.3.4\n 5.6.7.8 1 2\r\n", M::LineEnd),
            ("UNKNOWN \n\r\n", M::LineEnd),
            ("\r\n", M::Protocol),
            ("UNKNOWNS\r\n", M::Protocol),
            ("unknown\r\n", M::Protocol),
            (" TCP4 1.2.3.4 5.6.7.8 1 2\r\n", M::Protocol),
            ("TCP5 1.2.3.4 5.6.7.8 1 2\r\n", M::Protocol),
            ("UDP4 1.2.3.4 5.6.7.8 1 2\r\n", M::Protocol),
            ("TCP4\r\n", M::Protocol),
            ("TCP4 \r\n", M::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1\r\n", M::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", M::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1  2\r\n", M::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", M::Fields),
            ("TCP4  1.2.3.4 5.6.7.8 1\r\n", M::Address),
            ("TCP4 1.2.3.04 5.6.7.8 1 2\r\n", M::Address),
            ("TCP4 1.2.3.256 5.6.7.8 1 2\r\n", M::Address),
            ("TCP4 1.2.3 5.6.7.8 1 2\r\n", M::Address),
            ("TCP4 ::1 ::1 1 2\r\n", M::Address),
            ("TCP4 1.2.3.4 ::1 1 2\r\n", M::Address),
            ("TCP6 1.2.3.4 5.6.7.8 1 2\r\n", M::Address),
            ("TCP6 1::2::3 ::1 1 2\r\n", M::Address),
            ("TCP6 [::1] ::1 1 2\r\n", M::Address),
            ("TCP6 fe80::1%1 ::1 1 2\r\n", M::Address),
            ("TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", M::Port),
            ("TCP4 1.2.3.4 5.6.7.8 01 2\r\n", M::Port),
            ("TCP4 1.2.3.4 5.6.7.8 00 2\r\n", M::Port),
            ("TCP4 1.2.3.4 5.6.7.8 1 +2\r\n", M::Port),
            ("TCP4 1.2.3.4 5.6.7.8 1 -0\r\n", M::Port),
            ("TCP4 1.2.3.4 5.6.7.8 1 \u{661}\r\n", M::Port),
        ] {
            assert_eq!(line(&format!("PROXY {text}")), Err(error), "{text:?}");
        }
        assert_eq!(line("PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n"), Err(M::Protocol));
        assert_eq!(parse(b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n"), Err(M::Fields));
    }

    #[test]
    fn a_line_ends_in_time() {
        let needed = |needed| Ok(Parsed::Incomplete { needed });
        assert_eq!(line("PRO"), needed(15));
        assert_eq!(line("PROXY TCP4 1.2.3.4"), needed(19));
        assert_eq!(line("PROXY UNKNOWN\r"), needed(15));
        let text = format!("PROXY UNKNOWN {}", "x".repeat(MAX_LEN - 14));
        assert_eq!(line(&text), Err(Malformed::Endless));
        // A CRLF that is there, and too late.
        let text = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LEN - 15));
        assert_eq!(line(&text[..MAX_LEN - 1]), needed(MAX_LEN));
        assert_eq!(line(&text), Err(Malformed::Endless));
    }

    #[test]
    fn what_is_sent() {
        for (source, destination, line) in [
            ("1.2.3.4:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n"),
            ("[::1]:5", "[2001:db8::2]:10", "PROXY TCP6 ::1 2001:db8::2 5 10\r\n"),
            ("[::ffff:1.2.3.4]:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n"),
            ("1.2.3.4:5", "[::1]:10", "PROXY UNKNOWN\r\n"),
        ] {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let written = write(Some(Addresses { source, destination }));
            assert_eq!(str::from_utf8(&written), Ok(line));
        }
        assert_eq!(write(None), b"PROXY UNKNOWN\r\n");
    }
}
