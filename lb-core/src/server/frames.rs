//! Frames of HTTP/2 that make work and move nothing, counted: h2 answers as many pings
//! and settings as are sent, and its user doesn't hear of them.

use std::{error, fmt, io, time::Duration};

use tokio::time::Instant;

/// How a connection begins (RFC 9113, section 3.4).
const PREFACE: u64 = 24;

/// The head of a frame (section 4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
/// What a head doesn't end with goes on there; h2 counts these.
const CONTINUATION: u8 = 9;

/// Reads along with one connection.
pub(super) struct Frames {
    /// How many bytes are to come until the next head.
    skip: u64,
    head: [u8; HEAD],
    /// How many bytes of it there are.
    known: usize,
    /// Grants of room. Some clients send two for every frame that they get.
    grants: Allowance<8>,
    /// All others that move nothing: pings, by which a client may measure how fast bytes
    /// arrive, settings, priorities, resets.
    others: Allowance<256>,
    /// When they were asked last.
    asked: Instant,
    /// Bytes that were sent since then.
    sent: u64,
}

/// How many frames a client may send: so many at once, and then what it earns in time
/// and with every so many `BYTES` that are sent to it.
struct Allowance<const BYTES: u64>(u64);

/// How many at once.
const BURST: u64 = 1024;

/// What it earns in a second.
const A_SECOND: u64 = 512;

impl<const BYTES: u64> Allowance<BYTES> {
    fn earn(&mut self, passed: Duration, sent: u64) {
        let by_time = passed.as_millis().saturating_mul(A_SECOND.into()) / 1000;
        let by_time = u64::try_from(by_time).unwrap_or(u64::MAX);
        let earned = by_time.saturating_add(sent / BYTES);
        self.0 = self.0.saturating_add(earned).min(BURST);
    }

    /// Whether so many may be sent.
    fn spend(&mut self, frames: u64) -> bool {
        let left = self.0.checked_sub(frames);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// A client has sent more of them than it has earned.
#[derive(Debug)]
pub(super) struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client sends frames without end that move nothing")
    }
}

impl error::Error for Flood {}

impl From<Flood> for io::Error {
    fn from(flood: Flood) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, flood)
    }
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            known: 0,
            grants: Allowance(BURST),
            others: Allowance(BURST),
            asked: Instant::now(),
            sent: 0,
        }
    }

    /// So many bytes were sent to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// These came from it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        let (grants, others) = self.count(bytes);
        // Few look at the clock.
        let is_scarce = self.grants.0 < grants || self.others.0 < others;
        if is_scarce {
            let now = Instant::now();
            let passed = now.saturating_duration_since(self.asked);
            self.grants.earn(passed, self.sent);
            self.others.earn(passed, self.sent);
            (self.asked, self.sent) = (now, 0);
        }
        if self.grants.spend(grants) && self.others.spend(others) { Ok(()) } else { Err(Flood) }
    }

    /// How many heads of frames end here that move nothing: grants, and others.
    fn count(&mut self, mut bytes: &[u8]) -> (u64, u64) {
        let (mut grants, mut others) = (0, 0);
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(HEAD - self.known);
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEAD {
                self.known = 0;
                let [a, b, c, kind, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.skip = length.into();
                match kind {
                    HEADERS | CONTINUATION => {}
                    DATA if length > 0 => {}
                    WINDOW_UPDATE => grants += 1,
                    _ => others += 1,
                }
            }
        }
        (grants, others)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time;

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        frame.extend(std::iter::repeat_n(0xff, length.into()));
        frame
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        frames
    }

    fn all(frames: &mut Frames, kind: u8, count: u64) -> bool {
        (0..count).all(|_| frames.read(&frame(kind, 8)).is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends() {
        for kind in [PING, WINDOW_UPDATE] {
            let mut frames = begun();
            assert!(all(&mut frames, kind, BURST));
            assert!(!all(&mut frames, kind, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_something_may_go_on() {
        let mut frames = begun();
        for _ in 0..5000 {
            frames.read(&frame(HEADERS, 5)).unwrap();
            frames.read(&frame(DATA, 200)).unwrap();
            frames.read(&frame(CONTINUATION, 0)).unwrap();
        }
        assert!(all(&mut frames, PING, BURST));
    }

    #[tokio::test(start_paused = true)]
    async fn time_and_what_is_sent_earn_some() {
        let mut frames = begun();
        assert!(all(&mut frames, PING, BURST));
        time::advance(Duration::from_secs(1)).await;
        assert!(all(&mut frames, PING, A_SECOND) && !all(&mut frames, PING, 1));
        frames.sent(2560);
        assert!(all(&mut frames, PING, 10) && !all(&mut frames, PING, 1));
        time::advance(Duration::from_secs(1 << 40)).await;
        assert!(all(&mut frames, PING, BURST) && !all(&mut frames, PING, 1), "and no more");
    }

    /// As some clients do for each message of a stream.
    #[tokio::test(start_paused = true)]
    async fn two_grants_for_each_frame_are_not_too_many() {
        let mut frames = begun();
        for _ in 0..10_000 {
            frames.sent(9 + 7);
            assert!(all(&mut frames, WINDOW_UPDATE, 2));
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut(
            sent in proptest::collection::vec((0..12_u8, 0..60_u8), 0..50),
            cuts in proptest::collection::vec(1..40_usize, 1..20),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let mut expected = (0, 0);
            for (kind, length) in sent {
                bytes.extend(frame(kind, length));
                let moves = matches!(kind, HEADERS | CONTINUATION) || kind == DATA && length > 0;
                expected.0 += u64::from(kind == WINDOW_UPDATE);
                expected.1 += u64::from(!moves && kind != WINDOW_UPDATE);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _context = runtime.enter();
            let (mut frames, mut counted, mut rest) = (Frames::new(), (0, 0), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (some, more) = rest.split_at((*cut).min(rest.len()));
                let (grants, others) = frames.count(some);
                counted = (counted.0 + grants, counted.1 + others);
                rest = more;
            }
            prop_assert_eq!(counted, expected);
        }
    }
}
