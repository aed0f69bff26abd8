//! Hashes for balancers that send what belongs together to the same endpoint.
//!
//! They are the same in every process and every version, so several balancers
//! agree without talking to each other.

use xxhash_rust::xxh64::xxh64;

/// The hash of a key: a user, a path, a session. XXH64 with seed 0.
pub fn of(key: &[u8]) -> u64 {
    xxh64(key, 0)
}

/// What tells the requests apart that a [`Balance`](super::Balance) keeps
/// together: a function of the request, or [`Unkeyed`].
pub trait Key<Req> {
    /// The hash of what this request is kept together by, if it has such a thing.
    fn hash(&self, request: &Req) -> Option<u64>;
}

impl<F: Fn(&Req) -> Option<u64>, Req> Key<Req> for F {
    fn hash(&self, request: &Req) -> Option<u64> {
        self(request)
    }
}

/// Nothing keeps requests together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unkeyed;

impl<Req> Key<Req> for Unkeyed {
    fn hash(&self, _: &Req) -> Option<u64> {
        None
    }
}

/// A number that depends on both, and on each bit of either: the finalizer of
/// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014).
#[inline]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where in `0..n` a hash falls, as evenly as hashes are spread.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the result is less than n")]
pub(super) fn scale(hash: u64, n: usize) -> usize {
    ((u128::from(hash) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        assert_eq!(of(b""), 0xef46_db37_51d8_e999);
        assert_eq!(of(b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn the_whole_range_is_used_and_not_left() {
        assert_eq!([0, u64::MAX / 2, u64::MAX].map(|hash| scale(hash, 10)), [0, 4, 9]);
    }
}
