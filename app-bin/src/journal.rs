//! Who wants to know what became of requests.

use std::fmt;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its body is read, and nothing else done yet.
    Accepted,
    /// Its answer is made, and nothing of it sent yet.
    Executed,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Executed => "executed",
        })
    }
}

/// Is told the steps of each request that has an identity. The default is told
/// nothing.
#[derive(Default)]
pub(crate) struct Journal(Option<Box<Write>>);

type Write = dyn Fn(Step, &str) + Send + Sync;

impl Journal {
    pub(crate) fn new(write: impl Fn(Step, &str) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(write)))
    }

    /// This request has come so far.
    pub(crate) fn write(&self, step: Step, id: &str) {
        if let Some(write) = &self.0 {
            write(step, id);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Journal").field(&self.0.is_some()).finish()
    }
}
