//! Waiting for something to come true.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine: what reaches it hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer. When there never is one, fails
/// with what was waited for and with what `state` tells.
#[track_caller]
pub(crate) fn until<T>(
    what: &str,
    state: impl FnOnce() -> String,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "waited {LIMIT:?} for {what}. Now:\n{}", state());
        thread::sleep(Duration::from_millis(5));
    }
}
