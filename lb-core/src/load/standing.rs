#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU16, AtomicU32, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Whether an endpoint may be picked, as the words of several who each know a
/// part of it, in one atomic: a pick reads them all at once.
#[derive(Debug)]
pub(super) struct Standing {
    words: AtomicU32,
    share: AtomicU16,
}

/// What is said of an endpoint, one bit each.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Word {
    Wanted = 1,
    Unhealthy = 2,
    Ejected = 4,
    Panic = 8,
    Silent = 16,
}

pub(crate) const FULL_SHARE: u16 = 256;

/// Counts the flips of every endpoint in the process.
#[cfg(not(lb_loom))]
static EPOCH: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
#[cfg(lb_loom)]
loom::lazy_static! {
    static ref EPOCH: loom::sync::atomic::AtomicU64 = loom::sync::atomic::AtomicU64::new(0);
}

/// A number that is another one once any endpoint of this process has become
/// ready or has ceased to be so: what was counted at the same number still holds.
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

impl Standing {
    pub(super) fn new(wanted: bool) -> Self {
        let words = if wanted { Word::Wanted as u32 } else { 0 };
        Self { words: AtomicU32::new(words), share: AtomicU16::new(FULL_SHARE) }
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        ready(self.words.load(Ordering::Acquire))
    }

    /// What [`is_ready`](Self::is_ready) would be but for this word.
    #[cfg(feature = "http")]
    pub(super) fn is_ready_but_for(&self, word: Word) -> bool {
        ready(self.words.load(Ordering::Acquire) & !(word as u32))
    }

    pub(super) fn says(&self, word: Word) -> bool {
        self.words.load(Ordering::Acquire) & word as u32 != 0
    }

    /// Says whether this changed the word.
    pub(super) fn set(&self, word: Word, to: bool) -> bool {
        let bit = word as u32;
        let before = if to {
            self.words.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.words.fetch_and(!bit, Ordering::AcqRel)
        };
        let after = if to { before | bit } else { before & !bit };
        if ready(before) != ready(after) {
            EPOCH.fetch_add(1, Ordering::Release);
        }
        before != after
    }

    #[inline]
    pub(super) fn share(&self) -> u16 {
        self.share.load(Ordering::Relaxed)
    }

    pub(super) fn set_share(&self, share: f64) {
        // `as` saturates, and takes what is no number for 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let share = (share.clamp(0.0, 1.0) * f64::from(FULL_SHARE)).round() as u16;
        self.share.store(share, Ordering::Relaxed);
    }
}

fn ready(words: u32) -> bool {
    let troubles = Word::Unhealthy as u32 | Word::Ejected as u32 | Word::Silent as u32;
    let troubled = words & troubles != 0;
    words & Word::Wanted as u32 != 0 && (!troubled || words & Word::Panic as u32 != 0)
}
