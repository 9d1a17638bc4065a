//! When what was written is handed to the socket before the tick ends.
//!
//! One write a tick puts both ends in lock-step: the whole window moves as one batch and the time
//! per call is the sum of both sides. A write after every message costs a system call and a wake-up
//! each. Half of the calls in flight at a time keeps two ends busy. A client that waits for answers all
//! the same has more stages behind it, or slower ones: then a third does (figures: docs/decisions/0004, 0010).

use std::time::{Duration, Instant};

/// The least number of messages worth a write of their own.
const LEAST: usize = 32;
/// The same for a client that waits for answers.
const LEAST_WAITING: usize = 16;
/// More than this at once gains nothing.
const MOST: usize = 128;
/// Bytes that are always worth a write.
const BYTES: usize = 64 * 1024;

/// Chooses how many messages make a write.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlushPolicy {
    window: usize,
    pace: Pace,
}

impl FlushPolicy {
    /// Takes note of how many calls are in flight.
    #[inline]
    pub fn observe(&mut self, in_flight: usize) {
        self.window = in_flight;
    }

    /// Takes note of how many messages came in one read: a server cannot see its peer's window,
    /// but the largest recent batch grows with it.
    #[inline]
    pub fn observe_batch(&mut self, messages: usize) {
        self.window = if messages > self.window {
            messages
        } else {
            self.window - (self.window - messages) / 16
        };
    }

    /// Takes note that a batch of answers was handled from `began` to `ended`.
    #[inline]
    pub fn observe_work(&mut self, began: Instant, ended: Instant) {
        self.pace.observe(began, ended);
    }

    /// Whether `messages` of `bytes` in all should be written now.
    #[inline]
    pub fn is_due(&self, messages: usize, bytes: usize) -> bool {
        let enough = if self.pace.waits {
            (self.window / 3).clamp(LEAST_WAITING, MOST)
        } else {
            (self.window / 2).clamp(LEAST, MOST)
        };
        messages >= enough || bytes >= BYTES
    }
}

/// Whether a client waits for answers, instead of being busy with them: with everything its process does.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    waits: bool,
    /// When the last batch had been handled.
    ended: Option<Instant>,
    /// The time that it was busy and that it waited, of which the past counts ever less.
    busy: Duration,
    idle: Duration,
}

/// To write, to ask for events and to read takes that long: what has come by then was not waited for.
const AT_ONCE: Duration = Duration::from_micros(10);

/// So much time is looked at before it is judged: many batches, but little to adapt in.
const PERIOD: Duration = Duration::from_millis(4);

impl Pace {
    #[inline]
    fn observe(&mut self, began: Instant, ended: Instant) {
        if let Some(before) = self.ended.replace(ended) {
            let between = began - before;
            if between > AT_ONCE {
                self.idle += between;
            } else {
                self.busy += between;
            }
        }
        self.busy += ended - began;
        if self.idle + self.busy > PERIOD {
            // Smaller writes leave less to wait for; they stay until there is next to nothing.
            let share = if self.waits { 10 } else { 3 };
            self.waits = self.idle * share > self.busy;
            self.idle /= 2;
            self.busy /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_window_within_bounds() {
        let mut policy = FlushPolicy::default();
        for (in_flight, messages) in [(0, 32), (1, 32), (64, 32), (128, 64), (256, 128), (5000, 128)] {
            policy.observe(in_flight);
            assert!(!policy.is_due(messages - 1, 0));
            assert!(policy.is_due(messages, 0));
        }
        assert!(policy.is_due(1, 64 * 1024));
    }

    /// The policy of a client with 90 calls in flight after batches of so many microseconds, with so many between.
    fn paced(policy: &mut FlushPolicy, busy: u64, idle: u64, batches: u32) {
        let mut now = Instant::now();
        for _ in 0..batches {
            let ended = now + Duration::from_micros(busy);
            policy.observe_work(now, ended);
            now = ended + Duration::from_micros(idle);
        }
        policy.observe(90);
    }

    #[test]
    fn a_client_that_waits_writes_smaller_batches() {
        let mut policy = FlushPolicy::default();
        paced(&mut policy, 50, 2, 1000);
        assert!(!policy.is_due(44, 0) && policy.is_due(45, 0));
        paced(&mut policy, 50, 25, 1000);
        assert!(!policy.is_due(29, 0) && policy.is_due(30, 0));
        // It goes on as long as there is a tenth to wait for, and no longer.
        paced(&mut policy, 100, 12, 1000);
        assert!(policy.is_due(30, 0));
        paced(&mut policy, 200, 12, 1000);
        assert!(!policy.is_due(44, 0));
        paced(&mut policy, 100, 12, 1000);
        assert!(!policy.is_due(44, 0));
        paced(&mut policy, 10, 1000, 1000);
        policy.observe(8);
        assert!(!policy.is_due(15, 0) && policy.is_due(16, 0));
    }

    #[test]
    fn answers_that_are_there_already_are_not_waited_for() {
        let mut policy = FlushPolicy::default();
        paced(&mut policy, 20, 9, 1000);
        assert!(!policy.is_due(44, 0) && policy.is_due(45, 0));
        paced(&mut policy, 20, 15, 1000);
        assert!(policy.is_due(30, 0));
        paced(&mut policy, 20, 9, 1000);
        assert!(!policy.is_due(44, 0));
    }

    #[test]
    fn one_long_wait_is_no_pace() {
        let mut policy = FlushPolicy::default();
        paced(&mut policy, 50, 0, 1000);
        let now = Instant::now() + Duration::from_secs(60);
        policy.observe_work(now, now + Duration::from_micros(50));
        paced(&mut policy, 50, 0, 1000);
        assert!(!policy.is_due(44, 0) && policy.is_due(45, 0));
    }

    #[test]
    fn a_batch_is_remembered_for_a_while() {
        let mut policy = FlushPolicy::default();
        policy.observe_batch(256);
        policy.observe_batch(1);
        assert!(!policy.is_due(100, 0));
        for _ in 0..200 {
            policy.observe_batch(1);
        }
        assert!(policy.is_due(32, 0));
    }
}
