use std::{
    fmt,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::clock::now;

/// How a source is doing: for readiness, and for who asks why nothing changes.
///
/// It is cheap to clone and can be read at any time, also after the source has
/// ended.
#[derive(Clone, Debug)]
pub struct Status {
    started: Instant,
    report: watch::Receiver<Report>,
}

/// What a [`Status`] says at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether the source has given out a set. What it gave out last stays in
    /// force whatever happens to the source.
    pub synced: bool,
    /// When the set was last found to be right.
    pub last_confirmed: Option<Instant>,
    /// What went wrong last, with the remedy; `None` while all is well.
    pub last_error: Option<String>,
}

impl Status {
    /// All of it, as it is now.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// The time since the set was last found to be right, or since the start.
    pub fn since_confirmed(&self) -> Duration {
        let since = self.report.borrow().last_confirmed.unwrap_or(self.started);
        now().saturating_duration_since(since)
    }

    /// Waits for a report that `wanted` accepts; `None` if the source ends
    /// before there is one. How long to wait is the caller's choice.
    pub async fn wait_for(&self, wanted: impl FnMut(&Report) -> bool) -> Option<Report> {
        let mut report = self.report.clone();
        report.wait_for(wanted).await.ok().map(|report| report.clone())
    }
}

/// The source's end of a [`Status`]. Dropping it says that the source has ended.
pub struct Reporter(watch::Sender<Report>);

impl Reporter {
    /// A source that has given out nothing yet.
    #[allow(clippy::new_ret_no_self, reason = "two ends of one thing, as with a channel")]
    pub fn new() -> (Self, Status) {
        let (sender, report) = watch::channel(Report::default());
        (Self(sender), Status { started: now(), report })
    }

    /// A set was given out. Unless it is [confirmed](Self::confirmed), too, it is
    /// not all there should be.
    pub fn given_out(&self) {
        self.0.send_if_modified(|report| !std::mem::replace(&mut report.synced, true));
    }

    /// The set that was given out last is right. Tells whether that ends some
    /// trouble, which is worth a line in the log.
    pub fn confirmed(&self) -> bool {
        let mut recovered = false;
        self.0.send_modify(|report| {
            report.synced = true;
            report.last_confirmed = Some(now());
            recovered = report.last_error.take().is_some();
        });
        recovered
    }

    /// Something is wrong, and the last set stays in force. Tells whether that
    /// is news: a source that tries again should not log the same each time.
    pub fn trouble(&self, error: impl fmt::Display) -> bool {
        let error = error.to_string();
        self.0.send_if_modified(|report| {
            let news = report.last_error.as_ref() != Some(&error);
            report.last_error = Some(error);
            news
        })
    }
}

impl Drop for Reporter {
    /// However a source ends, nobody is to think that it is still followed.
    fn drop(&mut self) {
        self.0.send_modify(|report| {
            report.last_error.get_or_insert_with(|| "the source has ended".into());
        });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reporter").field(&*self.0.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_lasts_until_the_set_is_confirmed() {
        let (reporter, status) = Reporter::new();
        assert_eq!(status.report(), Report::default());
        assert!(reporter.trouble("no such file"));
        assert!(!reporter.trouble("no such file"), "the same again is no news");
        assert!(reporter.trouble("permission denied"));
        assert_eq!(status.report().last_error.as_deref(), Some("permission denied"));

        time::advance(Duration::from_secs(7)).await;
        assert_eq!(status.since_confirmed(), Duration::from_secs(7));
        assert!(reporter.confirmed(), "the trouble is over");
        assert!(!reporter.confirmed());
        assert_eq!(status.since_confirmed(), Duration::ZERO);
        assert_eq!(status.report().last_error, None);
        assert!(status.report().synced);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_that_the_source_has_ended() {
        let (reporter, status) = Reporter::new();
        let waits = status.wait_for(|report| report.synced);
        drop(reporter);
        assert_eq!(waits.await, None);
        assert_eq!(status.report().last_error.as_deref(), Some("the source has ended"));
    }
}
