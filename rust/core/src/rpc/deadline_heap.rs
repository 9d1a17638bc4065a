//! Which calls run out of time next; the clock is the caller's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Deadlines of calls that may long have ended: an ended call's entry is dropped when it comes up.
#[derive(Debug, Default)]
pub struct Deadlines {
    heap: BinaryHeap<Reverse<(Moment, u64)>>,
}

/// Seconds on the caller's clock, as an ordered number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment(f64);

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Entries below which ended calls are not swept out of the heap: a sweep looks at all of them, 16 KiB here.
const MIN_SWEPT: usize = 1024;

impl Deadlines {
    /// Adds a call; `alive` calls are in flight, `is_alive` knows them. True if it is now the earliest.
    pub fn add(&mut self, when: f64, id: u64, alive: usize, is_alive: impl Fn(u64) -> bool) -> bool {
        if self.heap.len() > MIN_SWEPT && self.heap.len() > 4 * alive {
            self.heap.retain(|Reverse((_, id))| is_alive(*id));
        }
        let earliest = self.heap.peek().is_none_or(|Reverse((first, _))| when < first.0);
        self.heap.push(Reverse((Moment(when), id)));
        earliest
    }

    /// The next call whose time has come at `now`, ended ones included.
    pub fn expired(&mut self, now: f64) -> Option<u64> {
        match self.heap.peek() {
            Some(Reverse((when, _))) if when.0 <= now => self.heap.pop().map(|Reverse((_, id))| id),
            _ => None,
        }
    }

    /// The earliest deadline of a call that is alive.
    pub fn earliest(&mut self, is_alive: impl Fn(u64) -> bool) -> Option<f64> {
        while let Some(Reverse((when, id))) = self.heap.peek() {
            if is_alive(*id) {
                return Some(when.0);
            }
            self.heap.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn come_up_in_order(times in prop::collection::vec(0.0f64..100.0, 1..50), now in 0.0f64..100.0) {
            let mut deadlines = Deadlines::default();
            for (id, when) in times.iter().enumerate() {
                deadlines.add(*when, id as u64, times.len(), |_| true);
            }
            let mut last = f64::MIN;
            let mut count = 0;
            while let Some(id) = deadlines.expired(now) {
                prop_assert!(times[id as usize] >= last && times[id as usize] <= now);
                last = times[id as usize];
                count += 1;
            }
            prop_assert_eq!(count, times.iter().filter(|when| **when <= now).count());
            let later = times.iter().copied().filter(|when| *when > now).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(deadlines.earliest(|_| true).unwrap_or(f64::INFINITY), later);
        }
    }

    #[test]
    fn ended_calls_do_not_pile_up() {
        let mut deadlines = Deadlines::default();
        for id in 0..100_000u64 {
            deadlines.add(id as f64, id, 1, |alive| alive == id);
        }
        assert!(deadlines.heap.len() <= MIN_SWEPT + 2, "{}", deadlines.heap.len());
    }
}
