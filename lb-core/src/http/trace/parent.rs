//! `traceparent`, as W3C Trace Context has it.

use ::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

const SAMPLED: u8 = 1;
/// The trace's id is random; who passes the id on passes this on (level 2).
const RANDOM: u8 = 2;

/// The span that sent a request, and the trace it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    /// Never 0.
    pub(crate) trace: u128,
    /// Never 0.
    pub(crate) span: u64,
    pub(crate) flags: u8,
}

impl Parent {
    /// A new trace.
    pub(crate) fn new(sampled: bool) -> Self {
        let (trace, span) = (fastrand::u128(1..), new_span());
        Self { trace, span, flags: if sampled { SAMPLED } else { 0 } }
    }

    /// The one that is named in these headers, if it is one that can be used.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let parent = Self::parse(values.next()?.as_bytes())?;
        values.next().is_none().then_some(parent)
    }

    /// `VERSION-TRACE-PARENT-FLAGS`, each in lower-case hexadecimal digits.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(55)?;
        if [2, 35, 52].iter().any(|&at| known[at] != b'-') {
            return None;
        }
        let (version, trace) = (number(&known[..2])?, number(&known[3..35])?);
        let span = u64::try_from(number(&known[36..52])?).ok()?;
        let flags = u8::try_from(number(&known[53..])?).ok()?;
        // Only versions to come may say more.
        let ends = rest.is_empty() || rest[0] == b'-' && version != 0;
        (version != 0xff && trace != 0 && span != 0 && ends).then_some(Self { trace, span, flags })
    }

    pub(crate) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Another span of the same trace.
    pub(crate) fn next(self, sampled: bool) -> Self {
        let flags = self.flags & RANDOM | if sampled { SAMPLED } else { 0 };
        Self { span: new_span(), flags, ..self }
    }

    pub(crate) fn value(self) -> Option<HeaderValue> {
        let mut text = *b"00-................................-................-..";
        text[3..35].copy_from_slice(&hex::<32>(self.trace));
        text[36..52].copy_from_slice(&hex::<16>(self.span.into()));
        text[53..].copy_from_slice(&hex::<2>(self.flags.into()));
        HeaderValue::from_bytes(&text).ok()
    }

    /// The trace's id, as it is written.
    pub(crate) fn trace_id(self) -> [u8; 32] {
        hex(self.trace)
    }
}

/// The id of a span that begins.
pub(crate) fn new_span() -> u64 {
    // All zeros would be none.
    fastrand::u64(1..)
}

/// The last `N` digits of a number.
pub(crate) fn hex<const N: usize>(mut number: u128) -> [u8; N] {
    let mut digits = [0; N];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
    digits
}

/// The number that so many digits, up to 32 in lower case, stand for.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<Parent> {
        Parent::parse(text.as_bytes())
    }

    #[test]
    fn it_is_read_and_written() {
        let parent = parse(PARENT).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.flags), (0xb7ad_6b71_6920_3331, 1));
        assert_eq!(parent.value().unwrap(), PARENT);
        assert_eq!(&parent.trace_id(), TRACE.as_bytes());
        // What is said beyond level 1 isn't ours to repeat, but for a random id.
        let next = parse(&PARENT.replace("-01", "-ff")).unwrap().next(false);
        assert_eq!((next.trace, next.flags), (parent.trace, RANDOM));
        assert_ne!(next.span, parent.span);
        assert!(next.next(true).is_sampled());
    }

    #[test]
    fn what_is_of_no_use_is_none() {
        assert!(parse(&PARENT.replacen("00", "cc", 1)).is_some());
        assert!(parse(&format!("cc{}-more", &PARENT[2..])).is_some());
        for bad in [
            String::new(),
            format!("{PARENT}-more"),
            format!("cc{}+more", &PARENT[2..]),
            PARENT.replacen("00", "ff", 1),
            PARENT.to_ascii_uppercase(),
            PARENT.replace("b7ad6b7169203331", "0000000000000000"),
            PARENT.replace(TRACE, &"0".repeat(32)),
            PARENT.replace('-', "_"),
            PARENT[..54].to_owned(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(Parent::of(&headers), parse(PARENT));
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(Parent::of(&headers), None, "one too many");
    }

    #[test]
    fn a_new_one_is_random() {
        let (one, other) = (Parent::new(true), Parent::new(false));
        assert!(one.trace != other.trace && one.span != other.span);
        assert!(one.is_sampled() && !other.is_sampled());
        assert_eq!(parse(one.value().unwrap().to_str().unwrap()), Some(one));
    }
}
