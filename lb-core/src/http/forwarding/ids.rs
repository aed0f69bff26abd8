//! The names by which a request can be found again.

use ::http::{HeaderMap, HeaderName, HeaderValue};

pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(in crate::http) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longer ones are no names but a way to fill logs.
const LONGEST_ID: usize = 128;

/// Gives a request an `X-Request-Id` and a `traceparent` (W3C Trace Context,
/// level 1), where it is told to and the request brings none that can be used.
/// Where both are missing they share the same 128 bits, so either leads to the
/// other.
pub(super) fn add(headers: &mut HeaderMap, request_id: bool, trace: bool) {
    let wants_id = request_id && !has_one(headers, &X_REQUEST_ID, is_request_id);
    let wants_trace = trace && !has_one(headers, &TRACEPARENT, is_traceparent);
    if !wants_id && !wants_trace {
        return;
    }
    // All zeros would be no trace.
    let id = hex::<32>(fastrand::u128(1..));
    if wants_id && let Ok(value) = HeaderValue::from_bytes(&id) {
        headers.insert(X_REQUEST_ID, value);
    }
    if wants_trace {
        let mut parent = *b"00-................................-................-01";
        parent[3..35].copy_from_slice(&id);
        parent[36..52].copy_from_slice(&hex::<16>(fastrand::u64(1..).into()));
        if let Ok(value) = HeaderValue::from_bytes(&parent) {
            headers.insert(TRACEPARENT, value);
        }
        // It would speak of another trace.
        headers.remove(TRACESTATE);
    }
}

fn has_one(headers: &HeaderMap, name: &HeaderName, is_fine: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|value| is_fine(value.as_bytes())) && values.next().is_none()
}

pub(in crate::http) fn is_request_id(id: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// `VERSION-TRACE-PARENT-FLAGS`, each in lower-case hexadecimal digits.
pub(in crate::http) fn is_traceparent(value: &[u8]) -> bool {
    let Some((known, rest)) = value.split_at_checked(55) else { return false };
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |part: &[u8]| part.iter().any(|&byte| byte != b'0');
    let (version, trace, parent, flags) =
        (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    [2, 35, 52].iter().all(|&at| known[at] == b'-')
        && [version, trace, parent, flags].iter().all(|part| is_hex(part))
        && version != b"ff"
        && is_set(trace)
        && is_set(parent)
        // Only versions to come may say more.
        && (rest.is_empty() || rest[0] == b'-' && version != b"00")
}

/// The last `N` digits of a number.
fn hex<const N: usize>(mut number: u128) -> [u8; N] {
    let mut digits = [0; N];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn added(given: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, value.parse().unwrap());
        }
        add(&mut headers, true, true);
        headers
    }

    fn text(headers: &HeaderMap, name: &HeaderName) -> String {
        headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn they_are_made_where_there_are_none() {
        let headers = added(&[]);
        let (id, parent) = (text(&headers, &X_REQUEST_ID), text(&headers, &TRACEPARENT));
        assert!(is_request_id(id.as_bytes()) && is_traceparent(parent.as_bytes()));
        assert_eq!((id.len(), &parent[3..35], &parent[52..]), (32, id.as_str(), "-01"));
        assert_ne!(text(&added(&[]), &X_REQUEST_ID), id);
    }

    #[test]
    fn they_are_passed_on_where_they_can_be_used() {
        let headers = added(&[(X_REQUEST_ID, "a/b:7"), (TRACEPARENT, PARENT), (TRACESTATE, "v=1")]);
        assert_eq!(text(&headers, &X_REQUEST_ID), "a/b:7");
        assert_eq!(text(&headers, &TRACEPARENT), PARENT);
        assert_eq!(text(&headers, &TRACESTATE), "v=1");
        let headers = added(&[(TRACEPARENT, PARENT)]);
        assert_ne!(text(&headers, &X_REQUEST_ID), ID, "a trace has many requests");
    }

    #[test]
    fn what_is_of_no_use_is_replaced() {
        let headers = added(&[(X_REQUEST_ID, "a"), (X_REQUEST_ID, "b"), (TRACESTATE, "v=1")]);
        assert_eq!(headers.get_all(X_REQUEST_ID).iter().count(), 1);
        assert_eq!(text(&headers, &X_REQUEST_ID).len(), 32);
        assert!(!headers.contains_key(TRACESTATE));
        for id in ["", "a b", &"x".repeat(129)] {
            assert!(!is_request_id(id.as_bytes()), "{id}");
        }
        let parent = |text: &str| is_traceparent(text.as_bytes());
        assert!(parent(PARENT) && parent(&PARENT.replacen("00", "cc", 1)));
        assert!(parent(&format!("cc{}-more", &PARENT[2..])));
        for bad in [
            String::new(),
            format!("{PARENT}-more"),
            PARENT.replacen("00", "ff", 1),
            PARENT.to_ascii_uppercase(),
            PARENT.replace("b7ad6b7169203331", "0000000000000000"),
            PARENT.replace(ID, &"0".repeat(32)),
            PARENT[..54].to_owned(),
        ] {
            assert!(!parent(&bad), "{bad}");
        }
    }

    #[test]
    fn nothing_is_added_where_nobody_asks() {
        let mut headers = HeaderMap::new();
        add(&mut headers, false, false);
        assert!(headers.is_empty());
        add(&mut headers, false, true);
        assert_eq!(headers.len(), 1);
    }
}
