use super::Level;

/// From how much is used to what is done about it. Pure: it knows looks, not time.
#[derive(Debug)]
pub(super) struct Watermarks {
    limit: u64,
    level: Level,
    /// From here on the level is high.
    high: u64,
    /// The least that was used since it is high.
    least: u64,
    /// For how many looks it has been no less than that.
    looks: u32,
}

/// In percent of the limit.
const CRITICAL: u64 = 98;
const CRITICAL_UNTIL: u64 = 95;
const HIGH: u64 = 90;
/// How far it has to fall below what made it high.
const FALL: u64 = 5;
/// How much more may be used where refusing requests has freed nothing.
const STEP: u64 = 1;

/// Looks after which nothing more is to be freed: ten seconds of them.
const PATIENCE: u32 = 40;

impl Watermarks {
    pub(super) fn new(limit: u64) -> Self {
        let high = percent(limit, HIGH);
        Self { limit, level: Level::Normal, high, least: u64::MAX, looks: 0 }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// So many bytes are used now.
    pub(super) fn update(&mut self, used: u64) -> Level {
        let percent = |share| percent(self.limit, share);
        if used < percent(HIGH - FALL) {
            self.high = percent(HIGH);
        }
        let was = self.level;
        self.level = if used >= percent(CRITICAL)
            || was == Level::Critical && used >= percent(CRITICAL_UNTIL)
        {
            Level::Critical
        } else if used >= self.high || was != Level::Normal && used >= self.high - percent(FALL) {
            Level::High
        } else {
            Level::Normal
        };
        if self.level != Level::High {
            (self.least, self.looks) = (u64::MAX, 0);
        } else if used < self.least {
            (self.least, self.looks) = (used, 0);
        } else {
            self.looks += 1;
            // What is left belongs to those who stay, or the allocator keeps it for
            // those to come. To wait longer would be to wait for ever.
            if self.looks == PATIENCE {
                self.high = used.max(self.high) + percent(STEP);
                self.level = Level::Normal;
                (self.least, self.looks) = (u64::MAX, 0);
            }
        }
        self.level
    }
}

/// No limit is so high that this would matter, and none so low that it may be lost.
fn percent(limit: u64, share: u64) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(share) / 100).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Critical, High, Normal};

    fn levels(marks: &mut Watermarks, used: &[u64]) -> Vec<Level> {
        used.iter().map(|&used| marks.update(used)).collect()
    }

    #[test]
    fn it_rises_at_once_and_falls_with_a_margin() {
        let mut marks = Watermarks::new(1000);
        assert_eq!(
            levels(&mut marks, &[0, 899, 900, 850, 849]),
            [Normal, Normal, High, High, Normal]
        );
        assert_eq!(levels(&mut marks, &[899, 979, 980, 950]), [Normal, High, Critical, Critical]);
        assert_eq!(levels(&mut marks, &[949, 850, 849]), [High, High, Normal]);
        assert_eq!(levels(&mut marks, &[5000, 0]), [Critical, Normal], "in one leap, too");
    }

    #[test]
    fn requests_that_free_nothing_are_served_again() {
        let mut marks = Watermarks::new(1000);
        assert_eq!(marks.update(920), High);
        let looks = |marks: &mut Watermarks, used| {
            (1_u32..1000).find(|_| marks.update(used) == Normal).unwrap()
        };
        assert_eq!(looks(&mut marks, 920), PATIENCE);
        assert_eq!(levels(&mut marks, &[929, 930, 890, 879]), [Normal, High, High, Normal]);
        assert_eq!(marks.update(929), Normal, "it may be as much as before");
        // Whoever falls has time to fall further.
        assert_eq!(marks.update(930), High);
        let falls = (881..930).rev().flat_map(|used| [used; PATIENCE as usize - 1]);
        assert!(falls.map(|used| marks.update(used)).all(|level| level == High));
        // Once there is room, all is as it was.
        assert_eq!(levels(&mut marks, &[849, 900]), [Normal, High]);
    }

    #[test]
    fn it_never_gets_past_the_critical_mark() {
        let mut marks = Watermarks::new(1000);
        for _ in 0..100 * PATIENCE {
            assert!(marks.update(979) <= High);
        }
        for _ in 0..100 * PATIENCE {
            assert_eq!(marks.update(980), Critical);
        }
    }

    #[test]
    fn any_limit_will_do() {
        assert_eq!(Watermarks::new(1).update(1), Critical);
        assert_eq!(Watermarks::new(u64::MAX).update(1 << 50), Normal);
        assert_eq!(Watermarks::new(u64::MAX).update(u64::MAX), Critical);
    }
}
