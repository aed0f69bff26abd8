//! Tells what is dropped because its client takes nothing of it that this is why.

use std::cell::Cell;

thread_local! {
    static ABANDONED: Cell<bool> = const { Cell::new(false) };
}

/// Does this to what is given up, by dropping it on this thread.
#[cfg(feature = "server")]
pub(crate) fn abandon(drop: impl FnOnce()) {
    ABANDONED.set(true);
    drop();
    ABANDONED.set(false);
}

/// Whether what is being dropped is given up.
#[cfg(feature = "http")]
pub(crate) fn is_abandoned() -> bool {
    ABANDONED.get()
}
