//! Paths and queries, byte for byte.

use super::{Case, must, ours, refused_or_only};

/// These are valid, and not to be changed.
const SAME: &[(&str, &str)] = &[
    ("plain", "/a/b?c=d"),
    ("two-slashes", "//"),
    ("two-slashes-first", "//a.test/b"),
    ("two-slashes-within", "/a//b"),
    ("dots", "/a/./b"),
    ("dots-up", "/a/../b"),
    ("dots-at-the-end", "/a/.."),
    ("dots-encoded", "/a/%2e%2e/b"),
    ("dots-above-the-root", "/../../a"),
    ("slash-encoded", "/a%2Fb"),
    ("slash-encoded-lower-case", "/a%2fb"),
    ("percent-encoded", "/a%25b%252Fc"),
    ("letter-encoded", "/%61%7E"),
    ("nul-encoded", "/a%00b"),
    ("line-ends-encoded", "/a%0D%0Ab"),
    ("space-encoded", "/a%20b+c"),
    ("backslash-encoded", "/a%5Cb"),
    ("question-marks", "/?a?b"),
    ("empty-query", "/a?"),
    ("query-with-slashes", "/?/../a//b"),
    ("query-order", "/?b=1&a=2&b=3&&=&c"),
    ("semicolon", "/a;b=c/d;e"),
    ("query-semicolon", "/?a;b=1;c"),
    ("colon", "/a:b"),
    ("at", "/@a:80/b"),
    ("sub-delims", "/!$&'()*+,;="),
    ("utf-8-encoded", "/%C3%A9%c3%a9"),
    ("url-in-query", "/?u=http://evil.test/%23x"),
];

/// These are not valid; passed on as they are or refused.
const SAME_OR_REFUSED: &[(&str, &[u8])] = &[
    ("utf-8", "/\u{e9}".as_bytes()),
    ("latin-1", b"/\xe9"),
    ("bad-escape", b"/a%zz"),
    ("cut-escape", b"/a%"),
    ("quote", b"/a\"b"),
    ("angle-brackets", b"/a<b>"),
    ("backslash", b"/a\\..\\b"),
    ("pipe", b"/a|b"),
    ("braces", b"/a{b}"),
    ("caret-and-backtick", b"/a^`"),
    ("square-brackets", b"/a[b]?c[]=1"),
    ("fragment", b"/a#b"),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |case: Case, target: &str| {
        case.sends(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
    };
    let same = SAME.iter().map(|&(name, target)| {
        case(must(format!("target-{name}-unchanged"), "RFC 9110, 7.7"), target)
            .check(move |seen| refused_or_only(seen, ("GET", target, b"")))
    });
    let taken = SAME.iter().map(|&(name, target)| {
        case(ours(format!("target-{name}-taken")), target)
            .check(move |seen| seen.status(0, 200).map(drop))
    });
    let refused = SAME_OR_REFUSED.iter().map(|&(name, target)| {
        must(format!("target-{name}"), "RFC 9110, 7.7")
            .sends([b"GET ", target, b" HTTP/1.1\r\nHost: app.test\r\n\r\n"].concat())
            .check(move |seen| {
                seen.refused_or(|seen| {
                    seen.clean()?;
                    match seen.requests()[..] {
                        [one] if one.complete && one.target == target => Ok(()),
                        [one] if encodes(&one.target, target) => Ok(()),
                        // What a browser would not have sent.
                        [one] if name == "fragment" && one.target == b"/a" => Ok(()),
                        [one] => Err(format!("server sees {}", one.path())),
                        _ => refused_or_only(seen, ("GET", "/", b"")),
                    }
                })
            })
    });
    same.chain(taken).chain(refused).collect()
}

/// Whether it is the same with some bytes in percent-encoding.
fn encodes(is: &[u8], target: &[u8]) -> bool {
    let mut rest = is;
    for &byte in target {
        let encoded = format!("%{byte:02X}");
        let matches = |rest: &[u8]| {
            rest.get(..3).is_some_and(|some| some.eq_ignore_ascii_case(encoded.as_bytes()))
        };
        match rest {
            [first, left @ ..] if *first == byte => rest = left,
            _ if matches(rest) => rest = &rest[3..],
            _ => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_be_encoded() {
        assert!(encodes(b"/a%7Cb", b"/a|b") && encodes(b"/a%7cb", b"/a|b"));
        assert!(encodes(b"/a|b", b"/a|b"));
        assert!(!encodes(b"/a/b", b"/a|b") && !encodes(b"/a", b"/a|") && !encodes(b"/a|b", b"/a|"));
    }
}
