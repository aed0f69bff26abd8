//! How the server as a whole feels, which the control port changes.

use tokio::sync::watch;

/// What becomes of requests, whatever the knobs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// They are treated as the knobs say.
    Well,
    /// None is answered; connections are still accepted. Those that wait are
    /// answered once this ends.
    Hanging,
    /// All are answered 500, but for those that ask for a status.
    Failing,
}

/// The mood of one server.
#[derive(Debug)]
pub(crate) struct Moods(watch::Sender<Mood>);

impl Moods {
    /// A server that is well.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Mood::Well))
    }

    /// Changes it for all requests, those that hang too.
    pub(crate) fn set(&self, mood: Mood) {
        self.0.send_replace(mood);
    }

    /// The mood, once it isn't to hang.
    pub(crate) async fn when_it_answers(&self) -> Mood {
        let now = *self.0.borrow();
        if now != Mood::Hanging {
            return now;
        }
        let mut mood = self.0.subscribe();
        let answers = mood.wait_for(|mood| *mood != Mood::Hanging).await;
        // The sender is ours, so that it is there.
        answers.map_or(Mood::Well, |mood| *mood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_goes_on_when_the_mood_is_another() {
        let moods = Moods::new();
        assert_eq!(moods.when_it_answers().await, Mood::Well);
        moods.set(Mood::Hanging);
        let (mood, ()) = tokio::join!(biased; moods.when_it_answers(), async {
            moods.set(Mood::Failing);
        });
        assert_eq!(mood, Mood::Failing);
    }
}
