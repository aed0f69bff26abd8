use std::time::{Duration, Instant};

use super::Level;

/// From how much is used to what is done about it. Pure: it is given the time.
#[derive(Debug)]
pub(super) struct Watermarks {
    limit: u64,
    level: Level,
    /// From here on the level is high, and critical.
    high: u64,
    critical: u64,
    /// What it has fallen to since it isn't normal, and when.
    least: Option<(u64, Instant)>,
    /// Whether the next look should come soon.
    is_near: bool,
}

/// In percent of the limit.
const HIGH: u64 = 90;
const CRITICAL: u64 = 95;
/// How far below these it has to fall.
const HIGH_FALL: u64 = 5;
const CRITICAL_FALL: u64 = 3;
/// What counts as a fall; and how much more may be used where there was none.
const STEP: u64 = 1;

/// From here on it is worth a closer look.
const NEAR: u64 = 70;

/// After this long without a fall nothing more is to be freed.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watermarks {
    pub(super) fn new(limit: u64) -> Self {
        let (high, critical) = (percent(limit, HIGH), percent(limit, CRITICAL));
        Self { limit, level: Level::Normal, high, critical, least: None, is_near: false }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// Whether little is missing to the next level.
    pub(super) fn is_near(&self) -> bool {
        self.is_near
    }

    /// So many bytes are used now.
    pub(super) fn update(&mut self, used: u64, now: Instant) -> Level {
        let percent = |share| percent(self.limit, share);
        self.is_near = used >= percent(NEAR);
        if used < percent(HIGH - HIGH_FALL) {
            (self.high, self.critical) = (percent(HIGH), percent(CRITICAL));
        }
        let (was_critical, was_high) = (self.level == Level::Critical, self.level != Level::Normal);
        self.level = if used >= self.critical
            || was_critical && used >= self.critical - percent(CRITICAL_FALL)
        {
            Level::Critical
        } else if used >= self.high || was_high && used >= self.high - percent(HIGH_FALL) {
            Level::High
        } else {
            Level::Normal
        };
        match self.least {
            _ if self.level == Level::Normal => self.least = None,
            Some((least, since)) if used.saturating_add(percent(STEP)) > least => {
                // What is left belongs to those who stay, or the allocator keeps it for
                // those to come. To wait longer would be to wait for ever.
                let in_vain = now.saturating_duration_since(since) >= PATIENCE;
                if in_vain && used < self.limit {
                    self.high = self.high.max(used + percent(STEP));
                    self.critical = self.critical.max(self.high + percent(STEP));
                    self.level = Level::Normal;
                    self.least = None;
                }
            }
            _ => self.least = Some((used, now)),
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
        let now = Instant::now();
        used.iter().map(|&used| marks.update(used, now)).collect()
    }

    #[test]
    fn it_rises_at_once_and_falls_with_a_margin() {
        let mut marks = Watermarks::new(1000);
        assert_eq!(
            levels(&mut marks, &[0, 899, 900, 850, 849]),
            [Normal, Normal, High, High, Normal]
        );
        assert_eq!(levels(&mut marks, &[899, 949, 950, 920]), [Normal, High, Critical, Critical]);
        assert_eq!(levels(&mut marks, &[919, 850, 849]), [High, High, Normal]);
        assert_eq!(levels(&mut marks, &[5000, 0]), [Critical, Normal], "in one leap, too");
    }

    #[test]
    fn requests_that_free_nothing_are_served_again() {
        let mut marks = Watermarks::new(1000);
        let began = Instant::now();
        assert_eq!(marks.update(920, began), High);
        assert_eq!(marks.update(925, began + PATIENCE - Duration::from_millis(1)), High);
        assert_eq!(marks.update(920, began + PATIENCE), Normal);
        assert_eq!(levels(&mut marks, &[929, 930, 880, 879]), [Normal, High, High, Normal]);
        assert_eq!(levels(&mut marks, &[929]), [Normal], "it may be as much as before");
        // Whoever falls has time to fall further.
        let slowly = [930, 920, 910, 900, 890, 880].into_iter().zip(0..);
        for (used, step) in slowly {
            let now = began + step * (PATIENCE - Duration::from_millis(1));
            assert_eq!(marks.update(used, now), High, "{used}");
        }
        // Once there is room, all is as it was.
        assert_eq!(levels(&mut marks, &[849, 900]), [Normal, High]);
    }

    #[test]
    fn what_nobody_uses_any_more_can_be_used_again() {
        let mut marks = Watermarks::new(1000);
        let began = Instant::now();
        assert_eq!(marks.update(970, began), Critical);
        assert_eq!(marks.update(970, began + PATIENCE), Normal);
        assert_eq!(levels(&mut marks, &[979, 980, 990]), [Normal, High, Critical]);
        // But no more than there may be at all.
        let mut marks = Watermarks::new(1000);
        for step in 0..100 {
            assert_eq!(marks.update(1000, began + step * PATIENCE), Critical);
        }
    }

    #[test]
    fn looks_come_soon_where_it_matters() {
        let mut marks = Watermarks::new(1000);
        for (used, is_near) in [(699, false), (700, true), (2000, true), (0, false)] {
            levels(&mut marks, &[used]);
            assert_eq!(marks.is_near(), is_near, "{used}");
        }
    }

    #[test]
    fn any_limit_will_do() {
        assert_eq!(levels(&mut Watermarks::new(1), &[1]), [Critical]);
        let mut none = Watermarks::new(u64::MAX);
        assert_eq!(levels(&mut none, &[1 << 50, u64::MAX]), [Normal, Critical]);
    }
}
