//! The grammar of RFC 9112 and RFC 9110, by the letter: what a recipient may
//! forgive is not forgiven.

use super::message::{Answer, Framing, Headers, Seen};

/// Why this isn't HTTP.
pub(super) type Malformed = String;

pub(super) fn request(line: &[u8], headers: Headers) -> Result<Seen, Malformed> {
    let wrong = || format!("a request line like this: {}", line.escape_ascii());
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let target_is_fine =
        !target.is_empty() && target.iter().all(|&byte| byte > b' ' && byte != 127);
    let (Some(method), true) = (token(method), target_is_fine) else { return Err(wrong()) };
    let version = version_of(version).ok_or_else(wrong)?;
    let hosts = headers.all("host").count();
    if hosts > 1 || hosts == 0 && version == "HTTP/1.1" {
        return Err(format!("{hosts} lines of Host"));
    }
    let framing = match declared(&headers)? {
        Some(Framing::Chunked) if version == "HTTP/1.0" => {
            return Err("chunks in HTTP/1.0".into());
        }
        Some(framing) => framing,
        None => Framing::None,
    };
    Ok(Seen {
        method,
        target: target.to_vec(),
        version,
        complete: framing == Framing::None,
        number: 0,
        headers,
        framing,
        body: Vec::new(),
        trailers: Headers::default(),
    })
}

/// An answer to a request with this method.
pub(super) fn answer(line: &[u8], headers: Headers, method: &str) -> Result<Answer, Malformed> {
    let wrong = || format!("a status line like this: {}", line.escape_ascii());
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let (Some(version), Some(status), Some(reason)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let status_is_fine = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    if !status_is_fine || !reason.iter().all(|&byte| is_text(byte)) {
        return Err(wrong());
    }
    let status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let version = version_of(version).ok_or_else(wrong)?;
    let declared = declared(&headers)?;
    let framing = match status {
        _ if method == "HEAD" => Framing::None,
        100..200 | 204 | 304 => Framing::None,
        200..300 if method == "CONNECT" => Framing::None,
        _ => declared.unwrap_or(Framing::UntilClose),
    };
    Ok(Answer {
        version,
        status,
        headers,
        framing,
        body: Vec::new(),
        trailers: Headers::default(),
        interim: Vec::new(),
    })
}

/// One line of a head, without its end.
pub(super) fn field(line: &[u8]) -> Result<(String, Vec<u8>), Malformed> {
    let wrong = || format!("a header line like this: {}", line.escape_ascii());
    let colon = line.iter().position(|&byte| byte == b':').ok_or_else(wrong)?;
    let name = token(&line[..colon]).ok_or_else(wrong)?;
    let value = &line[colon + 1..];
    if !value.iter().all(|&byte| is_text(byte)) {
        return Err(wrong());
    }
    Ok((name, value.trim_ascii().to_vec()))
}

/// The length that the line before a chunk tells (RFC 9112, section 7.1).
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let wrong = || format!("a line before a chunk like this: {}", line.escape_ascii());
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let extension_is_fine = match extension.first() {
        None => true,
        Some(b';') => extension.len() > 1 && extension.iter().all(|&byte| is_text(byte)),
        Some(_) => false,
    };
    // More digits, and the length overflows for somebody.
    if !(1..=16).contains(&digits) || !extension_is_fine {
        return Err(wrong());
    }
    let size = str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    size.ok_or_else(wrong)
}

/// What the fields say of the framing: at most one thing.
fn declared(headers: &Headers) -> Result<Option<Framing>, Malformed> {
    let codings: Vec<_> = headers.all("transfer-encoding").collect();
    let lengths: Vec<_> = headers.all("content-length").collect();
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(None),
        ([], [length]) => {
            let digits = length.iter().all(u8::is_ascii_digit);
            let length = str::from_utf8(length).ok().filter(|_| digits);
            let length = length.and_then(|length| length.parse().ok());
            length.map(|length| Some(Framing::Length(length)))
        }
        .ok_or_else(|| format!("Content-Length: {}", lengths[0].escape_ascii())),
        ([], _) => Err(format!("{} lines of Content-Length", lengths.len())),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Framing::Chunked)),
        ([coding], []) => Err(format!("Transfer-Encoding: {}", coding.escape_ascii())),
        (_, []) => Err(format!("{} lines of Transfer-Encoding", codings.len())),
        _ => Err("both Transfer-Encoding and Content-Length".into()),
    }
}

fn version_of(text: &[u8]) -> Option<String> {
    let known = ["HTTP/1.1", "HTTP/1.0"].into_iter().find(|known| known.as_bytes() == text);
    known.map(Into::into)
}

/// A name (RFC 9110, section 5.6.2).
fn token(text: &[u8]) -> Option<String> {
    let is_one =
        text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let text = str::from_utf8(text).ok()?;
    (is_one && !text.is_empty()).then(|| text.to_owned())
}

/// What a value consists of (RFC 9110, section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 127
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Headers {
        Headers(lines.iter().map(|line| field(line.as_bytes()).unwrap()).collect())
    }

    #[test]
    fn a_request_line_has_three_parts() {
        for (line, fine) in [
            ("GET / HTTP/1.1", true),
            ("get /\u{e9} HTTP/1.1", true),
            ("GET  / HTTP/1.1", false),
            ("GET / HTTP/1.1 ", false),
            ("GET / HTTP/1.2", false),
            ("GET / http/1.1", false),
            ("GET /", false),
            ("G(T / HTTP/1.1", false),
            (" / HTTP/1.1", false),
            ("GET /\t HTTP/1.1", false),
        ] {
            assert_eq!(request(line.as_bytes(), headers(&["Host: a"])).is_ok(), fine, "{line:?}");
        }
        assert!(request(b"GET / HTTP/1.1", headers(&[])).is_err());
        assert!(request(b"GET / HTTP/1.0", headers(&[])).is_ok());
        assert!(request(b"GET / HTTP/1.1", headers(&["host: a", "Host: a"])).is_err());
    }

    #[test]
    fn a_field_is_a_name_and_a_value() {
        let of = |line: &[u8]| field(line).ok();
        assert_eq!(of(b"A-b: \t c d\t"), Some(("A-b".into(), b"c d".to_vec())));
        assert_eq!(of(b"a:"), Some(("a".into(), b"".to_vec())));
        assert_eq!(of(b"a:\xe9"), Some(("a".into(), b"\xe9".to_vec())));
        for line in
            [&b"a : b"[..], b": b", b"ab", b" a: b", b"a: \0", b"a: \x7f", b"a: b\rc", b"\xe9: a"]
        {
            assert_eq!(of(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        for (lines, expected) in [
            (&[][..], Some(Framing::None)),
            (&["content-length: 5"], Some(Framing::Length(5))),
            (&["content-length: 0"], Some(Framing::Length(0))),
            (&["content-length: +5"], None),
            (&["content-length: "], None),
            (&["content-length: 5, 5"], None),
            (&["content-length: 99999999999999999999"], None),
            (&["content-length: 5", "content-length: 5"], None),
            (&["transfer-encoding: Chunked"], Some(Framing::Chunked)),
            (&["transfer-encoding: gzip, chunked"], None),
            (&["transfer-encoding: chunked", "transfer-encoding: chunked"], None),
            (&["transfer-encoding: chunked", "content-length: 5"], None),
        ] {
            let mut all = headers(lines);
            all.0.push(("Host".into(), b"a".to_vec()));
            let framing = request(b"POST / HTTP/1.1", all).ok().map(|seen| seen.framing);
            assert_eq!(framing, expected, "{lines:?}");
        }
        let old = headers(&["transfer-encoding: chunked"]);
        assert!(request(b"POST / HTTP/1.0", old).is_err());
    }

    #[test]
    fn an_answer_is_framed_by_what_was_asked_too() {
        let framing = |line: &str, lines: &[&str], method| {
            answer(line.as_bytes(), headers(lines), method).unwrap().framing
        };
        let length = &["content-length: 5"][..];
        assert_eq!(framing("HTTP/1.1 200 OK", length, "GET"), Framing::Length(5));
        assert_eq!(framing("HTTP/1.1 200 OK", length, "HEAD"), Framing::None);
        assert_eq!(framing("HTTP/1.1 304 Not Modified", length, "GET"), Framing::None);
        assert_eq!(framing("HTTP/1.1 204 ", &[], "GET"), Framing::None);
        assert_eq!(framing("HTTP/1.0 200 ", &[], "GET"), Framing::UntilClose);
        assert_eq!(framing("HTTP/1.1 200 ", &[], "CONNECT"), Framing::None);
        for line in ["HTTP/1.1 200", "HTTP/1.1 20 OK", "HTTP/2 200 OK", "HTTP/1.1  200 OK"] {
            assert!(answer(line.as_bytes(), headers(&[]), "GET").is_err(), "{line}");
        }
    }

    #[test]
    fn a_chunk_says_how_long_it_is() {
        for (line, expected) in [
            ("0", Some(0)),
            ("aF", Some(0xaf)),
            ("5;a=b", Some(5)),
            ("5;", None),
            ("", None),
            ("+5", None),
            ("0x5", None),
            ("5 ", None),
            (" 5", None),
            ("5,", None),
            ("00000000000000005", None),
            ("ffffffffffffffff", Some(u64::MAX)),
        ] {
            assert_eq!(chunk_size(line.as_bytes()).ok(), expected, "{line:?}");
        }
    }
}
