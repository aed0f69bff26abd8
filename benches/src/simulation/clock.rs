use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// What is going to happen, and the time, which moves only when something does.
#[derive(Debug)]
pub struct Clock<E> {
    now: Duration,
    pending: BinaryHeap<Pending<E>>,
    sequence: u64,
}

impl<E> Clock<E> {
    /// Nothing is going to happen, and it is time 0.
    pub fn new() -> Self {
        Self { now: Duration::ZERO, pending: BinaryHeap::new(), sequence: 0 }
    }

    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Has `event` happen at this time. What happens at the same time happens in
    /// the order in which it was said.
    pub fn at(&mut self, time: Duration, event: E) {
        self.sequence += 1;
        self.pending.push(Pending { time, sequence: self.sequence, event });
    }

    /// Moves on to what happens next.
    pub fn advance(&mut self) -> Option<E> {
        let Pending { time, event, .. } = self.pending.pop()?;
        self.now = self.now.max(time);
        Some(event)
    }
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Pending<E> {
    time: Duration,
    sequence: u64,
    event: E,
}

/// The earliest is the greatest: a [`BinaryHeap`] gives that one first.
impl<E> Ord for Pending<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.sequence).cmp(&(self.time, self.sequence))
    }
}

impl<E> PartialOrd for Pending<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Pending<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Pending<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_first_and_equals_keep_their_order() {
        let mut clock = Clock::new();
        let ms = Duration::from_millis;
        for (time, name) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            clock.at(ms(time), name);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| clock.advance().map(|name| (name, clock.now()))).collect();
        assert_eq!(order, [('a', ms(1)), ('b', ms(2)), ('c', ms(2)), ('d', ms(3))]);
    }
}
