use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use lb_core::testing::wire::{Backend, Client, End, Received, Recorded};
use tokio::time;

use super::{
    case::{Act, Case, ok},
    observed::{Observed, Verdict},
};

/// A proxy and the server behind it, for one case after the other.
#[derive(Debug)]
pub struct Lane {
    /// The server; the proxy passes everything on to it.
    pub backend: Backend,
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which one it is.
    pub at: usize,
    /// Whether it was right.
    pub verdict: Verdict,
    /// What was seen; nothing if the proxy had stopped answering.
    pub observed: Option<Observed>,
}

/// How long one more answer, or one more request, is waited for that should not
/// come. Where it comes later, it is not noticed.
const QUIET: Duration = Duration::from_millis(60);

/// How long the proxy may take to answer anything between two cases.
const RECOVERY: Duration = Duration::from_secs(10);

/// More answers than any case has.
const MANY: usize = 16;

impl Lane {
    /// A server, and a proxy in front of it that isn't there yet.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn new(patience: Duration) -> io::Result<Self> {
        let backend = Backend::start(ok)?;
        Ok(Self { proxy: backend.address(), backend, patience })
    }

    /// Runs one case.
    pub async fn run(&self, at: usize, case: &Case) -> Outcome {
        match self.observe(case).await {
            Ok(observed) => {
                Outcome { at, verdict: (case.check)(&observed), observed: Some(observed) }
            }
            Err(why) => Outcome { at, verdict: Err(why), observed: None },
        }
    }

    /// Waits until the proxy passes requests on, over connections that no case has
    /// used.
    ///
    /// # Errors
    ///
    /// It doesn't in time.
    pub async fn ready(&self) -> Result<(), String> {
        self.backend.close_all().await;
        self.backend.script(ok);
        let mut last = String::from("nothing listens");
        let ready = time::timeout(RECOVERY, async {
            loop {
                if let Ok(mut client) = Client::connect(self.proxy).await {
                    client.limit(RECOVERY);
                    // What fails here shows in the answer.
                    let _ = client.send("GET /probe HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
                    match client.answer("GET").await {
                        Received::Complete(answer) if answer.status == 200 => return,
                        other => last = other.to_string(),
                    }
                }
                time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ready = ready.await;
        ready.map_err(|_| format!("the proxy no longer answers other requests: {last}"))
    }

    async fn observe(&self, case: &Case) -> Result<Observed, String> {
        self.ready().await?;
        let script = case.script.clone();
        self.backend.script(move |seen| script(seen));
        self.backend.clear();
        let mut session = Session::new(self, case).await.map_err(|error| error.to_string())?;
        for act in &case.acts {
            session.act(act).await.map_err(|error| error.to_string())?;
        }
        let (answers, end, heard) = session.finish().await;
        self.backend.release();
        Ok(Observed { answers, end, heard, backend: self.backend.connections() })
    }
}

/// What the clients of one case do and get.
struct Session<'a> {
    lane: &'a Lane,
    case: &'a Case,
    patience: Duration,
    client: Option<Client>,
    answers: Vec<Received>,
    end: Option<End>,
    heard: Vec<u8>,
}

impl<'a> Session<'a> {
    async fn new(lane: &'a Lane, case: &'a Case) -> io::Result<Self> {
        let client = Some(Client::connect(lane.proxy).await?);
        let patience = case.patience.unwrap_or(lane.patience);
        Ok(Self { lane, case, patience, client, answers: Vec::new(), end: None, heard: Vec::new() })
    }

    async fn act(&mut self, act: &Act) -> io::Result<()> {
        if matches!(act, Act::Another) {
            self.leave();
            self.client = Some(Client::connect(self.lane.proxy).await?);
            self.end = None;
        }
        let Some(client) = &mut self.client else { return Ok(()) };
        client.limit(self.patience);
        match act {
            // Who has been refused can't send; what he was told is what counts.
            Act::Send(bytes) => drop(client.send(bytes).await),
            Act::Pieces(pieces) => drop(client.send_in_pieces(pieces).await),
            Act::SendIfToldTo(bytes) => {
                if matches!(self.answers.last(), Some(Received::Complete(last)) if last.status < 200)
                {
                    drop(client.send(bytes).await);
                }
            }
            Act::Read(method) => {
                let received = client.answer(method).await;
                self.took(received);
            }
            Act::ReadOne(method) => {
                let received = client.one_answer(method).await;
                self.took(received);
            }
            Act::UntilSeen(count) => {
                let seen = |all: &[Recorded]| {
                    all.iter().map(|recorded| recorded.requests.len()).sum::<usize>() >= *count
                };
                // If it never does, the check says so.
                let _ = self.lane.backend.until(self.patience, seen).await;
            }
            Act::ReadBytes(count) => self.end = client.bytes(*count).await.1,
            Act::UntilGot(text) => {
                let got = |all: &[Recorded]| {
                    all.iter().any(|recorded| recorded.bytes.ends_with(text.as_bytes()))
                };
                // As above.
                let _ = self.lane.backend.until(self.patience, got).await;
            }
            Act::Release => self.lane.backend.release(),
            Act::HalfClose => drop(client.half_close().await),
            Act::Abort => {
                self.leave();
                self.end = Some(End::Reset);
            }
            Act::Another => {}
            Act::Pause => time::sleep(QUIET).await,
        }
        Ok(())
    }

    /// Whether more may come.
    fn took(&mut self, received: Received) -> bool {
        let end = match &received {
            Received::Complete(_) => None,
            Received::Truncated(_, end) | Received::Nothing(_, end) => Some(*end),
            Received::Garbage(..) => Some(End::Closed),
        };
        self.end = end;
        let is_nothing = matches!(&received, Received::Nothing(some, _) if some.is_empty());
        if !is_nothing {
            self.answers.push(received);
        }
        end.is_none()
    }

    fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            self.heard.extend(client.heard());
            // It ends either way.
            let _ = client.abort();
        }
    }

    async fn finish(mut self) -> (Vec<Received>, End, Vec<u8>) {
        while self.end.is_none() && self.answers.len() < MANY {
            let Some(client) = &mut self.client else { break };
            client.limit(if self.answers.len() < self.case.answers {
                self.patience
            } else {
                QUIET
            });
            let received = client.answer(self.case.method).await;
            self.took(received);
        }
        // What the proxy still has to pass on.
        time::sleep(QUIET).await;
        self.leave();
        (self.answers, self.end.unwrap_or(End::Silent), self.heard)
    }
}

/// Runs all cases over these lanes, and tells `done` of each. The outcomes are in
/// the order of the cases.
pub async fn run_all(
    lanes: &[Lane],
    cases: &[Case],
    done: impl Fn(&Case, &Outcome),
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(cases.len()));
    let runs = lanes.iter().map(|lane| async {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(at) else { return };
            let outcome = lane.run(at, case).await;
            done(case, &outcome);
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
    });
    join_all(runs).await;
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.at);
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correctness::cases;

    /// A client that speaks with the server itself: a relay of bytes, which is what a
    /// proxy must not be.
    async fn without_proxy(name: &str) -> Verdict {
        let cases = cases::all();
        let case = cases.iter().find(|case| case.name == name).unwrap();
        Lane::new(Duration::from_secs(5)).unwrap().run(0, case).await.verdict
    }

    #[tokio::test]
    async fn a_relay_of_bytes_is_found_out() {
        for name in [
            "cl-te-plain",
            "cl-te-xchunked",
            "length-same-lines",
            "chunk-bare-lf-behind-size-is-safe",
            "value-bare-cr",
            "host-twice-same",
            "host-invalid-path",
            "request-hop-named-by-connection",
            "answer-hop-named-by-connection",
            "forwarded-for-tells-the-client",
            "version-1.2-is-not-passed-on",
            "max-forwards-0-ends-here",
            "upgrade-that-nobody-asked-for",
            "date-is-added",
            "answer-none-two-lengths",
            "answer-mended-bare-lf",
            "extra-answer-is-no-second-one",
        ] {
            assert!(without_proxy(name).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_a_relay_does_right_is_right() {
        for name in [
            "chunk-plain",
            "length-plain",
            "target-dots-up-unchanged",
            "body-of-a-megabyte",
            "pipeline-is-answered-in-order",
            "request-cut-off-by-length-closed",
            "answer-cut-off-by-chunks-reset",
            "upgrade-to-websocket",
            "expect-continue",
            "early-hints-are-passed-on-at-once",
            "client-that-leaves-is-not-waited-for",
        ] {
            assert_eq!(without_proxy(name).await, Ok(()), "{name}");
        }
    }
}
