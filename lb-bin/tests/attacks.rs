//! The floods of `benches::attacks` against the real process, without a clock: who
//! should be closed is closed, and others are served. Times and memory are measured
//! by `make attacks`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::time::Duration;

use benches::attacks::{ALL, Setup};

#[tokio::test]
async fn floods_end_or_leave_others_alone() {
    let setup = Setup::new(env!("CARGO_BIN_EXE_lb-bin").into(), Duration::ZERO);
    let mut wrong = Vec::new();
    for attack in ALL.iter().copied().flatten() {
        if let Err(why) = attack.run_in_short(&setup).await {
            wrong.push(format!("{}: {why:#}", attack.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
