use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use ::http::{HeaderMap, Version, header::EXPECT};
use futures_util::task::AtomicWaker;

use super::body::BoxError;
use crate::patience::Patience;

/// A client's wish to be asked for its body (RFC 9110, section 10.1.1). Until the
/// endpoint does so, nothing is read of it: hyper asks the client when it is read.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    stage: AtomicU8,
    /// Whoever wants to read.
    reader: AtomicWaker,
}

/// Nobody has said anything.
const AWAITED: u8 = 0;
/// The body is asked for.
const MET: u8 = 1;
/// There is an answer without it.
const ANSWERED: u8 = 2;
/// And that is over.
const OVER: u8 = 3;

/// How long an endpoint may take to ask. Many never do, and clients don't wait for
/// ever.
const LIMIT: Duration = Duration::from_secs(1);

impl Expectation {
    /// That of a request that has a body. One of HTTP/1.0 is none.
    pub(super) fn of(version: Version, headers: &HeaderMap) -> Option<Arc<Self>> {
        let expects = headers.get(EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        (expects && version > Version::HTTP_10).then(Arc::default)
    }

    /// The body is asked for.
    pub(super) fn meet(&self) {
        self.step(AWAITED, MET);
    }

    /// There is an answer: a body that was not asked for by now never will be. Says
    /// whether that is so.
    pub(super) fn is_answered(&self) -> bool {
        self.step(AWAITED, ANSWERED)
    }

    /// The answer has come to its end.
    pub(super) fn end(&self) {
        self.step(ANSWERED, OVER);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        let stepped =
            self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if stepped {
            self.reader.wake();
        }
        stepped
    }
}

/// What keeps a body from being read.
pub(super) struct Gate {
    expectation: Arc<Expectation>,
    patience: Patience,
}

impl Gate {
    pub(super) fn new(expectation: Arc<Expectation>) -> Self {
        Self { expectation, patience: Patience::new(LIMIT) }
    }

    /// Ready once the body may be read, or never will be.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Listened first and looked second: it can't be missed in between.
        self.expectation.reader.register(cx.waker());
        loop {
            match self.expectation.stage.load(Ordering::Acquire) {
                AWAITED => {
                    ready!(self.patience.poll_end(cx));
                    self.expectation.meet();
                }
                MET => return Poll::Ready(Ok(())),
                ANSWERED => return Poll::Pending,
                _ => return Poll::Ready(Err("the body was not asked for".into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    fn gate() -> (Arc<Expectation>, Gate) {
        let headers = HeaderMap::from_iter([(EXPECT, "100-Continue".parse().unwrap())]);
        assert!(Expectation::of(Version::HTTP_10, &headers).is_none());
        let expectation = Expectation::of(Version::HTTP_11, &headers).unwrap();
        let gate = Gate::new(Arc::clone(&expectation));
        (expectation, gate)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_met_when_somebody_asks_or_nobody_does_for_a_while() {
        let (expectation, mut gate) = gate();
        assert!(poll_fn(|cx| gate.poll_open(cx)).now_or_never().is_none());
        expectation.meet();
        assert!(!expectation.is_answered());
        assert!(poll_fn(|cx| gate.poll_open(cx)).await.is_ok());

        let (_, mut gate) = self::gate();
        let began = tokio::time::Instant::now();
        assert!(poll_fn(|cx| gate.poll_open(cx)).await.is_ok());
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_answer_it_never_is() {
        let (expectation, mut gate) = gate();
        assert!(expectation.is_answered());
        expectation.meet();
        let waits = tokio::time::timeout(2 * LIMIT, poll_fn(|cx| gate.poll_open(cx)));
        assert!(waits.await.is_err());
        expectation.end();
        assert!(poll_fn(|cx| gate.poll_open(cx)).await.is_err());
    }
}
