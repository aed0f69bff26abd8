use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};

use super::{Options, error::Form};

/// How long the parts of one request may take to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// The next piece of its body.
    pub(super) body: Duration,
    /// The head of the answer.
    pub(super) answer: Duration,
    /// The next piece of the answer's body.
    pub(super) idle: Duration,
    /// Whether the client has set them: they say nothing of endpoints then.
    pub(super) are_the_clients: bool,
}

impl Timeouts {
    /// Nothing is waited for.
    pub(super) const NONE: Self = Self {
        body: Duration::MAX,
        answer: Duration::MAX,
        idle: Duration::MAX,
        are_the_clients: true,
    };

    /// Those of the options; but calls of gRPC may be streams that say nothing for as
    /// long as they like, and have a deadline of their own. Only where `multiplexed`
    /// connections carry them: others would be held by anybody who says it is gRPC.
    pub(super) fn of(
        options: &Options,
        form: Form,
        multiplexed: bool,
        headers: &HeaderMap,
    ) -> Self {
        if form == Form::Grpc && multiplexed {
            let deadline = headers.get("grpc-timeout").map(HeaderValue::as_bytes);
            let answer = deadline.and_then(grpc_timeout).unwrap_or(Duration::MAX);
            return Self { answer, ..Self::NONE };
        }
        Self {
            body: options.body_timeout,
            answer: options.answer_timeout,
            idle: options.idle_timeout,
            are_the_clients: false,
        }
    }
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read() {
        let read = |text: &str| grpc_timeout(text.as_bytes());
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("1u"), Some(Duration::from_micros(1)));
        assert_eq!(read("1n"), Some(Duration::from_nanos(1)));
        for bad in ["", "S", "1", "1s", "-1S", "100000000S", "1.5S", " 1S"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn calls_have_their_own() {
        let options = Options::default();
        let mut headers = HeaderMap::new();
        let plain = Timeouts::of(&options, Form::Plain, true, &headers);
        assert_eq!((plain.answer, plain.idle), (options.answer_timeout, options.idle_timeout));
        let endless = Timeouts::of(&options, Form::Grpc, true, &headers);
        assert_eq!((endless.answer, endless.body), (Duration::MAX, Duration::MAX));
        headers.insert("grpc-timeout", "5S".parse().unwrap());
        let call = Timeouts::of(&options, Form::Grpc, true, &headers);
        assert_eq!((call.answer, call.idle), (Duration::from_secs(5), Duration::MAX));
        assert_eq!(Timeouts::of(&options, Form::Grpc, false, &headers), plain);
    }
}
