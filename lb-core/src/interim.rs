//! Answers before the final one (1xx), which hyper's server has no way to send.
//!
//! They are legal between the end of whatever was answered before and the beginning
//! of the final answer. hyper reads the next request only when it has written all of
//! the last answer to its buffer, and flushes its stream only when that buffer is
//! empty. So the stream writes what is queued here when it is flushed, all of it before
//! anything else; and the final answer is kept from hyper until that is done.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

#[cfg(feature = "http")]
use bytes::BufMut;
use bytes::BytesMut;
#[cfg(feature = "http")]
use http::{HeaderMap, StatusCode};

use crate::sync::lock;

/// What may wait to be written. Beyond it, answers are lost that nobody needs.
#[cfg(feature = "http")]
const LIMIT: usize = 16 << 10;

/// One connection's way to answer before the final answer; none where that can't be
/// done.
#[derive(Clone, Default)]
#[cfg_attr(not(feature = "server"), allow(unreachable_pub, reason = "servers make it"))]
pub struct Interim(Option<Arc<Shared>>);

#[derive(Default)]
struct Shared {
    /// Whether something is queued, or being written.
    waits: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The request that is being answered, and whether it may be told anything.
    request: u64,
    open: bool,
    queue: BytesMut,
    /// Whoever serves the connection.
    server: Option<Waker>,
}

/// The same for one request.
#[cfg(feature = "http")]
#[derive(Clone)]
pub(crate) struct Informer {
    shared: Arc<Shared>,
    request: u64,
}

impl Interim {
    #[cfg(feature = "server")]
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Of the request that has begun last, if that may be told anything.
    #[cfg(feature = "http")]
    pub(crate) fn informer(&self) -> Option<Informer> {
        let shared = self.0.as_ref()?;
        let state = lock(&shared.state);
        let request = state.request;
        state.open.then(|| Informer { shared: Arc::clone(shared), request })
    }
}

/// For who serves the connection.
#[cfg(feature = "server")]
impl Interim {
    /// A request has begun.
    pub(crate) fn begin(&self, may_be_told: bool) {
        let Some(shared) = &self.0 else { return };
        let mut state = lock(&shared.state);
        state.request += 1;
        state.open = may_be_told;
    }

    /// Its final answer is there. Says whether that may be given to hyper; if not,
    /// `server` is woken once it may.
    pub(crate) fn end(&self, server: &Waker) -> bool {
        let Some(shared) = &self.0 else { return true };
        let mut state = lock(&shared.state);
        state.open = false;
        let waits = shared.waits.load(Ordering::Acquire);
        if waits {
            state.server = Some(server.clone());
        }
        !waits
    }

    /// There is no final answer yet; `server` is woken when there is something to write.
    pub(crate) fn listen(&self, server: &Waker) {
        let Some(shared) = &self.0 else { return };
        let mut state = lock(&shared.state);
        if state.open && !state.server.as_ref().is_some_and(|known| known.will_wake(server)) {
            state.server = Some(server.clone());
        }
    }

    /// What is to be written now.
    pub(crate) fn take(&self) -> Option<BytesMut> {
        let shared = self.0.as_ref()?;
        if !shared.waits.load(Ordering::Acquire) {
            return None;
        }
        let queue = std::mem::take(&mut lock(&shared.state).queue);
        (!queue.is_empty()).then_some(queue)
    }

    /// All that was taken has been written.
    pub(crate) fn written(&self) {
        let Some(shared) = &self.0 else { return };
        let mut state = lock(&shared.state);
        if state.queue.is_empty() {
            shared.waits.store(false, Ordering::Release);
        }
        if let Some(server) = state.server.take() {
            server.wake();
        }
    }
}

#[cfg(feature = "http")]
impl Informer {
    /// Has the client told this, unless the final answer is on its way already.
    pub(crate) fn inform(&self, status: StatusCode, headers: &HeaderMap) {
        let mut state = lock(&self.shared.state);
        if !state.open || state.request != self.request {
            return;
        }
        let length: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if state.queue.len() + length > LIMIT {
            return;
        }
        let queue = &mut state.queue;
        queue.put_slice(b"HTTP/1.1 ");
        queue.put_slice(status.as_str().as_bytes());
        queue.put_slice(b" ");
        queue.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        queue.put_slice(b"\r\n");
        for (name, value) in headers {
            queue.put_slice(name.as_str().as_bytes());
            queue.put_slice(b": ");
            queue.put_slice(value.as_bytes());
            queue.put_slice(b"\r\n");
        }
        queue.put_slice(b"\r\n");
        self.shared.waits.store(true, Ordering::Release);
        if let Some(server) = &state.server {
            server.wake_by_ref();
        }
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interim").field(&self.0.is_some()).finish()
    }
}
