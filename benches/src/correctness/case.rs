use std::{fmt, sync::Arc, time::Duration};

use lb_core::testing::wire::{Reply, Seen};

use super::observed::{Observed, Verdict};

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The standard says MUST, or clients and servers are at risk.
    Must,
    /// The standard says SHOULD, or names several ways of which this is the best.
    Should,
    /// The standard leaves it open; it is what lb-bin wants to do.
    Ours,
}

/// One thing that a proxy does right or wrong.
#[must_use]
pub struct Case {
    /// Its name, which no other one has.
    pub name: String,
    /// What it is about, as a heading.
    pub group: &'static str,
    /// Where the rule is found: a section of an RFC, or "ours".
    pub rule: &'static str,
    /// How binding it is.
    pub level: Level,
    /// What the client does, one after the other. Then it reads what answers are
    /// left, and waits a moment for more.
    pub acts: Vec<Act>,
    /// The method of the requests; the framing of answers depends on it.
    pub method: &'static str,
    /// How many answers are waited for.
    pub answers: usize,
    /// How long, if not as long as the run says.
    pub patience: Option<Duration>,
    pub(super) script: Arc<dyn Fn(&Seen) -> Reply + Send + Sync>,
    pub(super) check: Box<dyn Fn(&Observed) -> Verdict + Send + Sync>,
}

/// One thing that the client does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Act {
    /// Sends this.
    Send(Vec<u8>),
    /// Sends these, one packet each.
    Pieces(Vec<Vec<u8>>),
    /// Reads the next answer, to a request with this method.
    Read(&'static str),
    /// Reads the next answer, be it one with a status below 200.
    ReadOne(&'static str),
    /// Sends this if the last answer was one with a status below 200.
    SendIfToldTo(Vec<u8>),
    /// Waits until the server has seen this many requests, or long enough.
    UntilSeen(usize),
    /// Reads so many bytes, whatever they are.
    ReadBytes(u64),
    /// Waits until the server has got these bytes last, or long enough.
    UntilGot(&'static str),
    /// Has the server go on that holds its answer.
    Release,
    /// Says that nothing more will be sent.
    HalfClose,
    /// Breaks the connection off.
    Abort,
    /// Goes on as another client.
    Another,
    /// Gives what has happened some time to get around.
    Pause,
}

impl Case {
    /// One that goes by a rule. Nothing is sent yet; the server answers every
    /// request with 200 and `ok`.
    pub fn new(level: Level, name: impl Into<String>, rule: &'static str) -> Self {
        Self {
            name: name.into(),
            group: "",
            rule,
            level,
            acts: Vec::new(),
            method: "GET",
            answers: 1,
            patience: None,
            script: Arc::new(ok),
            check: Box::new(|_| Err("nothing is checked".into())),
        }
    }

    /// The client does this next.
    pub fn act(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    /// The client sends this next.
    pub fn sends(self, bytes: impl AsRef<[u8]>) -> Self {
        self.act(Act::Send(bytes.as_ref().to_vec()))
    }

    /// The method of the requests, if it isn't GET.
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// How many answers are waited for, if not one. One more than there can be, and
    /// the end of the connection is.
    pub fn answers(mut self, answers: usize) -> Self {
        self.answers = answers;
        self
    }

    /// Waits no longer for answers: there may be none.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The server answers by this script.
    pub fn script(mut self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// The server replies like this to every request.
    pub fn reply(self, reply: Reply) -> Self {
        self.script(move |_| reply.clone())
    }

    /// The server answers every request with these bytes.
    pub fn answered(self, bytes: impl AsRef<[u8]>) -> Self {
        self.reply(Reply::answer(bytes))
    }

    /// What may be seen.
    pub fn check(mut self, check: impl Fn(&Observed) -> Verdict + Send + Sync + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

/// What the server answers where that doesn't matter.
pub(super) fn ok(seen: &Seen) -> Reply {
    let body = if seen.method == "HEAD" { "" } else { "ok" };
    Reply::answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}"))
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Ours => "ours",
        })
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("acts", &self.acts)
            .finish_non_exhaustive()
    }
}
