use lb_core::testing::wire::{Answer, End, Received, Recorded, Seen};

/// Whether it was right, and else what was wrong, in a few words.
pub type Verdict = Result<(), String>;

/// What was seen on both sides of the proxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// What the clients got, in the order in which they read it.
    pub answers: Vec<Received>,
    /// How the last connection was left: closed, reset, or open.
    pub end: End,
    /// All bytes that the clients got.
    pub heard: Vec<u8>,
    /// What came over each connection to the server.
    pub backend: Vec<Recorded>,
}

/// A request as it is expected: method, target, content.
pub(super) type Expected<'a> = (&'a str, &'a str, &'a [u8]);

impl Observed {
    /// The answer at this place, if all of it came.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub fn answer(&self, at: usize) -> Result<&Answer, String> {
        match self.answers.get(at) {
            Some(Received::Complete(answer)) => Ok(answer),
            Some(other) => Err(format!("client: {other}")),
            None => Err(format!("client: no answer ({})", self.end)),
        }
    }

    /// The answer at this place has this status.
    ///
    /// # Errors
    ///
    /// It hasn't, or isn't there.
    pub fn status(&self, at: usize, status: u16) -> Result<&Answer, String> {
        let answer = self.answer(at)?;
        let is = answer.status;
        if is == status { Ok(answer) } else { Err(format!("client: {is} instead of {status}")) }
    }

    /// Every request that the server saw, whole or not, in their order.
    pub fn requests(&self) -> Vec<&Seen> {
        let mut all: Vec<_> = self.backend.iter().flat_map(|recorded| &recorded.requests).collect();
        all.sort_by_key(|seen| seen.number);
        all
    }

    /// Everything that the server saw was a request.
    ///
    /// # Errors
    ///
    /// It wasn't.
    pub fn clean(&self) -> Verdict {
        match self.backend.iter().find_map(|recorded| recorded.garbage.as_ref()) {
            Some(why) => Err(format!("server sees {}", short(why))),
            None => Ok(()),
        }
    }

    /// The rule against smuggling: the whole requests that the server saw are the
    /// first ones of these, or none; nothing but requests came; and what came of one
    /// that was broken off belongs to the next of these.
    ///
    /// # Errors
    ///
    /// What else it saw.
    pub fn only_of(&self, expected: &[Expected<'_>]) -> Verdict {
        self.clean()?;
        let mut expected = expected.iter();
        for seen in self.requests() {
            let Some(&(method, target, body)) = expected.next() else {
                return Err(format!("server sees {}", described(seen)));
            };
            let body_fits =
                if seen.complete { seen.body == body } else { body.starts_with(&seen.body) };
            if seen.method != method || seen.target != target.as_bytes() || !body_fits {
                return Err(format!("server sees {}", described(seen)));
            }
        }
        Ok(())
    }

    /// The server saw this request, whole, and nothing else.
    ///
    /// # Errors
    ///
    /// What else it saw.
    pub fn only(&self, method: &str, target: &str, body: &[u8]) -> Result<&Seen, String> {
        self.only_of(&[(method, target, body)])?;
        match self.requests()[..] {
            [seen] if seen.complete => Ok(seen),
            [seen] => Err(format!("server sees {}", described(seen))),
            _ => Err(match self.answers.first() {
                Some(received) => format!("not passed on: {received}"),
                None => format!("not passed on ({})", self.end),
            }),
        }
    }

    /// The request was refused: the server saw no whole one, and the client got an
    /// error of its own, or the connection was closed.
    ///
    /// # Errors
    ///
    /// What happened instead.
    pub fn refused(&self) -> Verdict {
        self.never_whole()?;
        match self.answers.first() {
            None if self.end == End::Silent => Err("neither answered nor closed".into()),
            None => Ok(()),
            // Who breaks off behind an error has said enough.
            Some(Received::Complete(answer) | Received::Truncated(answer, End::Reset))
                if answer.status >= 400 =>
            {
                Ok(())
            }
            Some(other) => Err(format!("client: {other}")),
        }
    }

    /// The server saw nothing but requests, and no whole one.
    ///
    /// # Errors
    ///
    /// What it saw.
    pub fn never_whole(&self) -> Verdict {
        self.clean()?;
        match self.requests().into_iter().find(|seen| seen.complete) {
            Some(whole) => Err(format!("server sees {}", described(whole))),
            None => Ok(()),
        }
    }

    /// It was refused, or else it is like this.
    ///
    /// # Errors
    ///
    /// Neither; this is what the second one complains of.
    pub fn refused_or(&self, or: impl FnOnce(&Self) -> Verdict) -> Verdict {
        self.refused().or_else(|_| or(self))
    }

    /// No more requests will be read from this client.
    ///
    /// # Errors
    ///
    /// The connection is open.
    pub fn closed(&self) -> Verdict {
        let announced = match self.answers.last() {
            // Some leave the client the time to read.
            Some(Received::Complete(last)) => last.lists("connection", "close"),
            _ => false,
        };
        ensure(announced || self.end != End::Silent, "the connection stays open")
    }

    /// The client got no whole answer with a status below 400, and no part of one
    /// that could be taken for the whole.
    ///
    /// # Errors
    ///
    /// It did.
    pub fn failed(&self) -> Verdict {
        match self.answers.first() {
            Some(Received::Complete(answer)) if answer.status < 400 => Err(format!(
                "client: {} with {} bytes, as if complete",
                answer.status,
                answer.body.len()
            )),
            Some(Received::Truncated(_, End::Silent)) => {
                Err("client: left waiting for the rest".into())
            }
            None if self.end == End::Silent => Err("client: left waiting".into()),
            Some(Received::Garbage(_, why)) => Err(format!("client sees {}", short(why))),
            _ => Ok(()),
        }
    }

    /// The client got a 502.
    ///
    /// # Errors
    ///
    /// What it got.
    pub fn bad_gateway(&self) -> Verdict {
        self.status(0, 502).map(drop)
    }
}

/// A condition with a reason.
///
/// # Errors
///
/// The reason, if it doesn't hold.
pub(super) fn ensure(holds: bool, else_: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(else_.into()) }
}

/// A text of which there may be too much.
fn short(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn described(seen: &Seen) -> String {
    let body = short(&seen.body.escape_ascii().to_string());
    let what = format!("{} {}", seen.method, short(&seen.path()));
    let whole = if seen.complete { "" } else { ", broken off" };
    format!("{what} ({}: \"{body}\"{whole})", seen.framing)
}
