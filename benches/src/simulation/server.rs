use std::{collections::VecDeque, time::Duration};

/// What is the matter with a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// All it does takes so many times as long.
    Slow(f64),
    /// The same, but only every other period.
    Flapping(f64, Duration),
    /// It answers every request with an error after a millisecond, and says
    /// with it for how long to leave it alone, if it does.
    Failing(Option<Duration>),
    /// It never answers.
    Hanging,
}

/// A server as it is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// How much work one of its workers does in the time that a usual one needs
    /// for 1.
    pub speed: f64,
    /// The weight that balancers are told.
    pub weight: u32,
    /// What is the matter with it.
    pub trouble: Option<Trouble>,
    /// Whether tables show what part of all requests it gets.
    pub odd: bool,
}

impl Setup {
    /// A server like all the others.
    pub fn usual() -> Self {
        Self { speed: 1.0, weight: 1, trouble: None, odd: false }
    }

    /// The one in trouble.
    pub fn troubled(trouble: Trouble) -> Self {
        Self { trouble: Some(trouble), odd: true, ..Self::usual() }
    }
}

/// A server at work: workers that each do one request at a time, and a queue in
/// front of them, first come first served.
#[derive(Debug)]
pub(super) struct Server {
    setup: Setup,
    idle: usize,
    queue: VecDeque<usize>,
}

/// What a server does with a request that has come.
#[derive(Debug, PartialEq)]
pub(super) enum Reaction {
    /// A worker begins and will have done it after so long, if a usual server
    /// would need the time it was told.
    Begins,
    /// It waits for a worker.
    Queues,
    /// It is answered with an error.
    Fails(Option<Duration>),
    /// Nothing, ever.
    Hangs,
}

impl Server {
    pub(super) fn new(setup: Setup, workers: usize) -> Self {
        Self { setup, idle: workers, queue: VecDeque::new() }
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(super) fn accept(&mut self, request: usize) -> Reaction {
        match self.setup.trouble {
            Some(Trouble::Failing(pause)) => Reaction::Fails(pause),
            Some(Trouble::Hanging) => Reaction::Hangs,
            _ if self.idle > 0 => {
                self.idle -= 1;
                Reaction::Begins
            }
            _ => {
                self.queue.push_back(request);
                Reaction::Queues
            }
        }
    }

    /// A worker is done. Says what it does next, which is the first in the queue
    /// that is still `wanted`.
    pub(super) fn next(&mut self, wanted: impl Fn(usize) -> bool) -> Option<usize> {
        while let Some(request) = self.queue.pop_front() {
            if wanted(request) {
                return Some(request);
            }
        }
        self.idle += 1;
        None
    }

    /// How long a worker that begins now needs for what takes a usual one so
    /// long.
    pub(super) fn takes(&self, usual: Duration, now: Duration) -> Duration {
        let slowdown = match self.setup.trouble {
            Some(Trouble::Slow(times)) => times,
            Some(Trouble::Flapping(times, period)) if in_odd_period(now, period) => times,
            _ => 1.0,
        };
        usual.mul_f64(slowdown / self.setup.speed)
    }
}

fn in_odd_period(now: Duration, period: Duration) -> bool {
    now.as_nanos() / period.as_nanos().max(1) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_worker_waits_and_who_has_left_is_passed_over() {
        let mut server = Server::new(Setup::usual(), 2);
        let reactions: Vec<_> = (0..5).map(|request| server.accept(request)).collect();
        let [begins, queues] = [Reaction::Begins, Reaction::Queues];
        assert_eq!(reactions[..2], [begins, Reaction::Begins]);
        assert_eq!(reactions[2..], [queues, Reaction::Queues, Reaction::Queues]);
        assert_eq!(server.next(|request| request != 2), Some(3));
        assert_eq!(server.next(|_| true), Some(4));
        assert_eq!(server.next(|_| true), None);
        assert_eq!(server.accept(5), Reaction::Begins);
    }

    #[test]
    fn a_flapping_one_is_slow_every_other_period() {
        let [second, ms] = [Duration::from_secs(1), Duration::from_millis(1)];
        let server = Server::new(Setup::troubled(Trouble::Flapping(10.0, 2 * second)), 1);
        let takes = [0, 1, 2, 3, 4].map(|n| server.takes(ms, n * second).as_millis());
        assert_eq!(takes, [1, 1, 10, 10, 1]);
    }

    #[test]
    fn a_fast_one_needs_less() {
        let server = Server::new(Setup { speed: 2.0, ..Setup::usual() }, 1);
        assert_eq!(
            server.takes(Duration::from_millis(10), Duration::ZERO),
            Duration::from_millis(5)
        );
    }
}
