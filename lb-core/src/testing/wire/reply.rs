use std::time::Duration;

/// What a [`Backend`](super::Backend) does once it has read the head of a request:
/// these steps, one after the other. Then it reads what it has not read of the
/// body, and waits for the next request, unless it was told to close the connection
/// or the request asked for that.
///
/// Bytes go out as they are; nothing is added, no length and no end.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Reply {
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    ReadBody,
    Send(Vec<u8>),
    Pause(Duration),
    Hold,
    Close,
    Reset,
}

impl Reply {
    /// Does nothing at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the body and sends this.
    pub fn answer(bytes: impl AsRef<[u8]>) -> Self {
        Self::new().read_body().send(bytes)
    }

    /// Sends this before it reads the body.
    pub fn early(bytes: impl AsRef<[u8]>) -> Self {
        Self::new().send(bytes)
    }

    /// Reads the body and sends these, one packet each.
    pub fn pieces<B: AsRef<[u8]>>(pieces: impl IntoIterator<Item = B>) -> Self {
        pieces.into_iter().fold(Self::new().read_body(), |reply, piece| reply.send(piece).pause())
    }

    /// Reads the body and says nothing until [`release`](super::Backend::release).
    pub fn silence() -> Self {
        Self::new().read_body().hold()
    }

    /// Then reads all of the body.
    pub fn read_body(self) -> Self {
        self.then(Step::ReadBody)
    }

    /// Then sends this.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Then waits a moment, so that what was sent arrives before what comes next: a
    /// reset, say, overtakes it.
    pub fn pause(self) -> Self {
        self.then(Step::Pause(Duration::from_millis(10)))
    }

    /// Then waits until [`release`](super::Backend::release), or until the other
    /// side closes the connection.
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Then closes the connection (FIN).
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Then breaks the connection off (RST).
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
