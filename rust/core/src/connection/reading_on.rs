//! Whether to read again as soon as a batch was handled, before the event loop looks at anything else.
//!
//! While a batch is handled a busy peer sends the next one. To read that at once saves a turn of the event loop, which
//! asks the kernel what is ready and calls back; in vain it costs a read. So it is done where it has mostly brought
//! something, tried now and then elsewhere, and others never wait long for their turn. Figures: docs/decisions/0016.

/// Reads after the transport's, at most.
const MOST_READS: u8 = 8;
/// Bytes read in a turn after which others get theirs: what waits longer than batches of small messages is no hurry.
const MOST_BYTES: usize = 64 * 1024;
/// So many more reads that brought something than others are remembered.
const MOST_LUCK: u8 = 8;
/// Where reads have been in vain one turn in so many tries again.
const SELDOM: u8 = 16;

/// The reads of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadingOn {
    luck: u8,
    /// Turns that passed without a try.
    passed: u8,
    reads: u8,
    bytes: usize,
}

impl ReadingOn {
    /// The event loop has read `bytes`: a turn begins.
    #[inline]
    pub fn begin(&mut self, bytes: usize) {
        self.reads = 0;
        self.bytes = bytes;
    }

    /// What was read is handled: whether to read again now.
    #[inline]
    pub fn tries(&mut self) -> bool {
        if self.reads == MOST_READS || self.bytes >= MOST_BYTES {
            return false;
        }
        if self.luck == 0 {
            self.passed += 1;
            if self.passed < SELDOM {
                return false;
            }
        }
        self.passed = 0;
        true
    }

    /// It brought `bytes`.
    #[inline]
    pub fn brought(&mut self, bytes: usize) {
        self.reads += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.luck = (self.luck + 1).min(MOST_LUCK);
    }

    /// It brought nothing: the turn ends.
    #[inline]
    pub fn in_vain(&mut self) {
        self.luck = self.luck.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One turn in which so many reads bring something; how many were tried.
    fn turn(reading: &mut ReadingOn, first: usize, ready: &[usize]) -> usize {
        reading.begin(first);
        let mut tried = 0;
        while reading.tries() {
            match ready.get(tried) {
                Some(bytes) => reading.brought(*bytes),
                None => {
                    reading.in_vain();
                    return tried + 1;
                }
            }
            tried += 1;
        }
        tried
    }

    #[test]
    fn what_a_busy_peer_sends_is_read_in_the_same_turn() {
        let mut reading = ReadingOn::default();
        for _ in 0..2 * SELDOM {
            turn(&mut reading, 100, &[100; 20]);
        }
        assert_eq!(turn(&mut reading, 100, &[100; 20]), usize::from(MOST_READS));
        assert_eq!(turn(&mut reading, 100, &[100; 3]), 4);
        assert_eq!(turn(&mut reading, 100, &[100; 20]), usize::from(MOST_READS));
    }

    #[test]
    fn reads_in_vain_become_rare() {
        let mut reading = ReadingOn::default();
        for _ in 0..2 * SELDOM {
            turn(&mut reading, 100, &[100; 20]);
        }
        let tried: usize = (0..1_600).map(|_| turn(&mut reading, 100, &[])).sum();
        assert!(tried <= 100 + usize::from(MOST_LUCK), "{tried}");
    }

    #[test]
    fn a_turn_with_many_bytes_ends() {
        let mut reading = ReadingOn::default();
        for _ in 0..2 * SELDOM {
            turn(&mut reading, 100, &[100; 20]);
        }
        assert_eq!(turn(&mut reading, 100, &[MOST_BYTES / 2; 20]), 2);
        assert_eq!(turn(&mut reading, MOST_BYTES, &[100; 20]), 0);
    }

    proptest! {
        #[test]
        fn no_turn_is_long(turns in prop::collection::vec((1_usize..200_000, prop::collection::vec(1_usize..200_000, 0..20)), 0..200)) {
            let mut reading = ReadingOn::default();
            for (first, ready) in &turns {
                let tried = turn(&mut reading, *first, ready);
                prop_assert!(tried <= usize::from(MOST_READS) + 1);
                let read: usize = ready.iter().take(tried.saturating_sub(1)).sum::<usize>();
                prop_assert!(tried == 0 || first + read < MOST_BYTES);
            }
        }
    }
}
