//! Locks whose contents stay whole when somebody panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what every change leaves whole in a single step, so that a panic
/// elsewhere is no reason to give it up.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
