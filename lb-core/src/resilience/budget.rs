//! How many retries and hedges the requests of late can pay for.
//!
//! A limit of attempts for each request doesn't prevent a retry storm: when
//! everything fails, three attempts are three times the load. A budget does. It
//! allows retries as a share of the requests, whatever each of them may do.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use crate::clock::{self, duration_nanos as nanos};

pub use tower::retry::budget::Budget;

/// A budget of a share of the requests, and of a few a second for those who
/// send few.
///
/// A bucket of tokens. Each request puts in its share of a token, and what is
/// spent on a retry is a whole one. `min_per_second` fills the bucket up to a
/// reserve of ten seconds' worth, and of one token at least; what requests have
/// put in beyond that is forgotten within about ten seconds. So in any time
/// since it was made it allows at most
/// `share × requests + min_per_second × seconds + max(1, 10 × min_per_second)`,
/// and without `min_per_second` at most `share × requests`.
///
/// This is tower's [`Budget`], and tower's own
/// [`TpsBudget`](tower::retry::budget::TpsBudget) does in its place. What that
/// one can't: keep shares it can't divide by (0.6 allows a retry for each
/// request, 0.3 a third of them), be built of any numbers without a panic, be
/// told the time, and do without a lock for each request.
///
/// ```
/// use lb_core::resilience::budget::{Budget, TokenBudget};
///
/// let budget = TokenBudget::new(0.5, 0.0);
/// budget.deposit();
/// assert!(!budget.withdraw(), "half a token buys nothing");
/// budget.deposit();
/// assert!(budget.withdraw());
/// ```
pub struct TokenBudget {
    share: f64,
    per_second: f64,
    reserve: f64,
    born: Instant,
    /// As the bits of an f64.
    tokens: AtomicU64,
    /// Up to when time has been counted, in nanoseconds since `born`.
    counted: AtomicU64,
}

/// What requests paid in beyond the reserve loses all but 1/e of it in this many
/// seconds, and the reserve is what comes in within them.
const MEMORY: f64 = 10.0;

/// Time is counted in steps of at least this many nanoseconds, so that most
/// requests write to one atomic and not to two.
const STEP: u64 = 1_000_000;

/// Five times a fifth is not quite one.
const NEARLY_ONE: f64 = 1.0 - 1e-9;

impl TokenBudget {
    /// A budget of `share` retries for each request, up to 1,000, and of
    /// `min_per_second` beside them. What is negative or no number counts as 0.
    pub fn new(share: f64, min_per_second: f64) -> Self {
        let per_second = sane(min_per_second);
        // Below one it could never buy anything.
        let reserve = if per_second > 0.0 { (per_second * MEMORY).max(1.0) } else { 0.0 };
        Self {
            share: sane(share),
            per_second,
            reserve,
            born: clock::now(),
            tokens: AtomicU64::new(reserve.to_bits()),
            counted: AtomicU64::new(0),
        }
    }

    /// [Deposits](Budget::deposit) for a request that came at `now`.
    pub fn deposit_at(&self, now: Instant) {
        self.elapse(now);
        self.update(|tokens| Some(tokens + self.share));
    }

    /// [Withdraws](Budget::withdraw) for a retry at `now`.
    pub fn withdraw_at(&self, now: Instant) -> bool {
        self.elapse(now);
        self.update(|tokens| (tokens >= NEARLY_ONE).then(|| (tokens - 1.0).max(0.0)))
    }

    /// How many retries it would allow now, as far as time has been counted.
    pub fn tokens(&self) -> f64 {
        f64::from_bits(self.tokens.load(Ordering::Relaxed))
    }

    /// Who claims an interval counts it, so none counts twice. Who comes in
    /// between sees a bucket that is one interval behind.
    fn elapse(&self, now: Instant) {
        let now = nanos(now.saturating_duration_since(self.born));
        if now < self.counted.load(Ordering::Relaxed).saturating_add(STEP) {
            return;
        }
        let before = self.counted.fetch_max(now, Ordering::Relaxed);
        let seconds = now.saturating_sub(before) as f64 / 1e9;
        self.update(|tokens| {
            let above = tokens - self.reserve;
            Some(if above > 0.0 {
                self.reserve + above * (-seconds / MEMORY).exp()
            } else {
                (tokens + self.per_second * seconds).min(self.reserve)
            })
        });
    }

    fn update(&self, f: impl Fn(f64) -> Option<f64>) -> bool {
        let f = |bits| f(f64::from_bits(bits)).map(f64::to_bits);
        self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, f).is_ok()
    }
}

/// For retries: one for every five requests, and three a second.
impl Default for TokenBudget {
    fn default() -> Self {
        Self::new(0.2, 3.0)
    }
}

impl Budget for TokenBudget {
    fn deposit(&self) {
        self.deposit_at(clock::now());
    }

    fn withdraw(&self) -> bool {
        self.withdraw_at(clock::now())
    }
}

impl fmt::Debug for TokenBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBudget")
            .field("share", &self.share)
            .field("per_second", &self.per_second)
            .field("tokens", &self.tokens())
            .finish_non_exhaustive()
    }
}

fn sane(n: f64) -> f64 {
    if n > 0.0 { n.min(1000.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn at(budget: &TokenBudget, ms: u64) -> Instant {
        budget.born + Duration::from_millis(ms)
    }

    fn spend(budget: &TokenBudget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.withdraw_at(now)).count()
    }

    #[test]
    fn shares_are_kept_as_given() {
        for (share, expected) in [(0.1, 100), (0.2, 200), (0.3, 300), (0.6, 600), (2.0, 2000)] {
            let budget = TokenBudget::new(share, 0.0);
            (0..1000).for_each(|_| budget.deposit_at(budget.born));
            assert_eq!(spend(&budget, budget.born), expected, "of {share}");
        }
    }

    #[test]
    fn tower_s_own_rounds_its_shares() {
        let allows = |budget: &dyn Budget| {
            (0..100).for_each(|_| budget.deposit());
            (0..1000).take_while(|_| budget.withdraw()).count()
        };
        let ttl = Duration::from_secs(10);
        assert_eq!(allows(&tower::retry::budget::TpsBudget::new(ttl, 0, 0.6)), 100);
        // A moment has passed since the first deposit, and something is forgotten.
        assert!((59..=60).contains(&allows(&TokenBudget::new(0.6, 0.0))));
    }

    #[test]
    fn the_reserve_is_there_at_once_and_fills_up_again() {
        let budget = TokenBudget::new(0.0, 3.0);
        assert_eq!(spend(&budget, at(&budget, 0)), 30);
        assert_eq!(spend(&budget, at(&budget, 1000)), 3);
        assert_eq!(spend(&budget, at(&budget, 3_600_000)), 30, "and no further");
        let slow = TokenBudget::new(0.0, 0.01);
        assert_eq!(spend(&slow, at(&slow, 0)), 1);
        assert_eq!(spend(&slow, at(&slow, 99_000)), 0);
        assert_eq!(spend(&slow, at(&slow, 101_000)), 1);
    }

    #[test]
    fn what_requests_paid_in_is_forgotten() {
        let budget = TokenBudget::new(1.0, 0.0);
        (0..1000).for_each(|_| budget.deposit_at(budget.born));
        assert_eq!(spend(&budget, at(&budget, 10_000)), 367);
        (0..1000).for_each(|_| budget.deposit_at(at(&budget, 10_000)));
        assert_eq!(spend(&budget, at(&budget, 200_000)), 0);
    }

    #[test]
    fn any_number_will_do() {
        for n in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0] {
            let budget = TokenBudget::new(n, n);
            budget.deposit();
            assert!(!budget.withdraw());
        }
        let budget = TokenBudget::new(f64::INFINITY, f64::INFINITY);
        budget.deposit_at(at(&budget, u64::MAX / 1_000_000));
        assert!(budget.withdraw_at(at(&budget, u64::MAX / 1_000_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn follows_the_paused_clock() {
        let budget = TokenBudget::new(0.0, 1.0);
        while budget.withdraw() {}
        tokio::time::advance(Duration::from_millis(2500)).await;
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
    }

    #[test]
    fn threads_spend_no_token_twice() {
        let budget = TokenBudget::new(1.0, 0.0);
        (0..500).for_each(|_| budget.deposit_at(budget.born));
        let spent: usize = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| spend(&budget, budget.born))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(spent, 500);
    }

    proptest! {
        /// Whatever happens when, no more is spent than the formula says.
        #[test]
        fn never_allows_more_than_it_says(
            share in 0.0..2.0_f64,
            per_second in prop_oneof![Just(0.0), 0.1..20.0],
            steps in prop::collection::vec((0..500_u64, 0..20_u32, 0..20_u32), 1..200),
        ) {
            let budget = TokenBudget::new(share, per_second);
            let (mut ms, mut requests, mut retries) = (0, 0, 0);
            for (pause, deposits, withdrawals) in steps {
                ms += pause;
                let now = at(&budget, ms);
                (0..deposits).for_each(|_| budget.deposit_at(now));
                requests += deposits;
                retries += (0..withdrawals).filter(|_| budget.withdraw_at(now)).count();
                let seconds = ms as f64 / 1e3;
                let most = share * f64::from(requests) + per_second * seconds + budget.reserve;
                prop_assert!(retries as f64 <= most + 1e-6, "{retries} of {most}");
                prop_assert!(budget.tokens() >= 0.0);
            }
        }
    }
}
