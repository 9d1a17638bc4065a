//! When what was written is handed to the socket before the tick ends.
//!
//! One write a tick puts both ends in lock-step: the whole window moves as one batch and the time
//! per call is the sum of both sides. A write after every message costs a system call and a wake-up
//! each. Half of the calls in flight at a time keeps both ends busy (figures: docs/decisions/0004).

/// The least number of messages worth a write of their own.
const LEAST: usize = 32;
/// More than this at once gains nothing.
const MOST: usize = 128;
/// Bytes that are always worth a write.
const BYTES: usize = 64 * 1024;

/// Chooses how many messages make a write.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlushPolicy {
    window: usize,
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

    /// Whether `messages` of `bytes` in all should be written now.
    #[inline]
    pub fn is_due(&self, messages: usize, bytes: usize) -> bool {
        messages >= (self.window / 2).clamp(LEAST, MOST) || bytes >= BYTES
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
