use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, header};

use super::deadline::{Deadline, Malformed, Timed};
use crate::clock;

impl<B> Timed for Request<B> {
    fn deadline(&self) -> Result<Option<Instant>, Malformed> {
        if let Some(Deadline(deadline)) = self.extensions().get() {
            return Ok(Some(*deadline));
        }
        if !is_grpc(self.headers()) {
            return Ok(None);
        }
        let Some(value) = self.headers().get(NAME) else { return Ok(None) };
        // What is too far away for a clock is no deadline.
        parse(value.as_bytes()).map(|left| clock::now().checked_add(left)).ok_or_else(|| {
            Malformed::new(NAME, String::from_utf8_lossy(value.as_bytes()), EXPECTED)
        })
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.extensions_mut().insert(Deadline(deadline));
        let left = deadline.saturating_duration_since(clock::now());
        if is_grpc(self.headers())
            && let Ok(value) = HeaderValue::try_from(format(left))
        {
            self.headers_mut().insert(NAME, value);
        }
    }
}

/// Of the gRPC protocol over HTTP/2.
const NAME: &str = "grpc-timeout";
const EXPECTED: &str = "one to eight digits and one of H, M, S, m, u and n, such as 250m";

/// The units from the smallest, in nanoseconds.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];
const MAX: u128 = 99_999_999;

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| name == unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0, |n, digit| n * 10 + u128::from(digit - b'0'));
    let nanos = n * nanos;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

/// In the smallest unit that has room for it, rounded down: the next hop should
/// not work for longer than anybody waits.
fn format(left: Duration) -> String {
    let left = left.as_nanos();
    let fitting = UNITS.iter().find(|(_, nanos)| left / nanos <= MAX);
    let (unit, n) = fitting.map_or((b'H', MAX), |(unit, nanos)| (*unit, left / nanos));
    format!("{n}{}", char::from(unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grpc(timeout: &'static str) -> Request<()> {
        Request::builder()
            .header("content-type", "application/grpc+proto")
            .header("grpc-timeout", timeout)
            .body(())
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn every_unit_is_read() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("00000003S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0n", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            let deadline = grpc(text).deadline().unwrap().unwrap();
            assert_eq!(deadline - clock::now(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_timeout_is_an_error_that_says_so() {
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789n", "1SS"] {
            let error = grpc(text).deadline().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("grpc-timeout is {text:?}, expected one")),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_written() {
        let mut request = grpc("5S");
        let deadline = request.deadline().unwrap().unwrap();
        request.set_deadline(deadline);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(request.deadline(), Ok(Some(deadline)), "it doesn't move with the clock");
        request.set_deadline(deadline);
        assert_eq!(request.headers()["grpc-timeout"], "3000000u");
        tokio::time::advance(Duration::from_secs(4)).await;
        request.set_deadline(deadline);
        assert_eq!(request.headers()["grpc-timeout"], "0n");
    }

    #[tokio::test(start_paused = true)]
    async fn other_requests_carry_it_in_this_process_only() {
        let mut request = Request::builder().header("grpc-timeout", "nonsense").body(()).unwrap();
        assert_eq!(request.deadline(), Ok(None));
        let deadline = clock::now() + Duration::from_secs(1);
        request.set_deadline(deadline);
        assert_eq!(request.deadline(), Ok(Some(deadline)));
        assert_eq!(request.extensions().get(), Some(&Deadline(deadline)));
        assert_eq!(request.headers()["grpc-timeout"], "nonsense");
    }

    proptest! {
        /// What is written is read as no more than was meant, and as hardly less.
        #[test]
        fn goes_round(
            seconds in prop_oneof![0..2_u64, 0..100_000_u64, 0..300_000_000_000_u64],
            nanos in 0..1_000_000_000_u32,
        ) {
            let left = Duration::new(seconds, nanos);
            let text = format(left);
            prop_assert!(text.len() <= 9, "{text}");
            let read = parse(text.as_bytes()).unwrap();
            prop_assert!(read <= left, "{text}");
            prop_assert!(left.as_nanos() - read.as_nanos() <= left.as_nanos() / 100_000, "{text}");
            prop_assert_eq!(parse(format(read).as_bytes()), Some(read));
        }

        #[test]
        fn nothing_panics(value: Vec<u8>) {
            if let Some(left) = parse(&value) {
                prop_assert_eq!(parse(format(left).as_bytes()), Some(left));
            }
        }
    }
}
