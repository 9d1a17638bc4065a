//! The receive buffer of one connection: bytes in from the socket, unread bytes out to the framing.
//!
//! A connection needs memory only for what it has not handled yet, so where the transport allows it
//! connections read into one shared buffer in turns ([`ReceiveBuffer::adopt`]) and keep what is left over.

/// Size of a buffer that connections share.
pub const SHARED: usize = LARGEST_READ;
/// Unread bytes that are worth copying to a shared buffer, to have what follows right behind them.
const FEW: usize = 4 * 1024;
/// Bytes a new connection can read at once.
const SMALLEST: usize = 4 * 1024;
/// Bytes read at once at most: the read budget of one loop tick.
const LARGEST_READ: usize = 256 * 1024;
/// Reads that must leave most of a large buffer unused before it shrinks.
const SMALL_READS: u32 = 256;

/// A buffer that grows with what really arrives, never with what a peer only declares.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    read_size: usize,
    small_reads: u32,
    /// The memory is a shared buffer, to be given back.
    adopted: bool,
}

impl ReceiveBuffer {
    /// An empty buffer; memory is taken at the first read.
    pub fn new() -> Self {
        ReceiveBuffer {
            read_size: SMALLEST,
            ..Default::default()
        }
    }

    /// Room for the next read: at least one byte, at most a read budget. Only here memory moves.
    pub fn writable(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.data.len() > 4 * self.read_size {
                self.data.truncate(self.read_size);
                self.data.shrink_to_fit();
                // What is left of a shared buffer is no use to others.
                self.adopted = false;
            }
        }
        let unread = self.end - self.start;
        if self.data.len() - self.end < self.read_size / 2 {
            if self.start > 0 {
                self.data.copy_within(self.start..self.end, 0);
                self.start = 0;
                self.end = unread;
            }
            if self.data.len() - self.end < self.read_size / 2 {
                // By a part of what is there, so that a long message is moved a few times only however
                // small the pieces are in which it arrives.
                let wanted = unread + self.read_size.max(unread / 2);
                self.adopted = false;
                self.data.reserve_exact(wanted - self.data.len());
                self.data.resize(wanted, 0);
            }
        }
        let end = self.data.len().min(self.end + LARGEST_READ);
        &mut self.data[self.end..end]
    }

    /// What is free without moving memory; may be nothing.
    pub fn tail(&mut self) -> &mut [u8] {
        &mut self.data[self.end..]
    }

    /// Takes note of `count` bytes read into [`ReceiveBuffer::writable`].
    pub fn filled(&mut self, count: usize) {
        let count = count.min(self.data.len() - self.end);
        self.end += count;
        if count >= self.read_size || self.end == self.data.len() {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
            self.small_reads = 0;
        } else if count * 8 < self.read_size && self.read_size > SMALLEST {
            self.small_reads += 1;
            if self.small_reads >= SMALL_READS {
                self.read_size /= 2;
                self.small_reads = 0;
            }
        } else {
            self.small_reads = 0;
        }
    }

    /// Where in a shared buffer the next read should begin; none if the memory of its own is better.
    pub fn shared_from(&self) -> Option<usize> {
        let unread = self.end - self.start;
        (!self.adopted && unread <= FEW).then_some(unread)
    }

    /// Takes a shared buffer into which `count` bytes were read from [`ReceiveBuffer::shared_from`] on.
    pub fn adopt(&mut self, mut shared: Vec<u8>, count: usize) {
        let unread = self.end - self.start;
        shared[..unread].copy_from_slice(&self.data[self.start..self.end]);
        self.end = shared.len().min(unread + count);
        self.start = 0;
        self.data = shared;
        self.adopted = true;
    }

    /// Gives back a buffer that was adopted; what is unread stays, in memory of its own.
    pub fn give_back(&mut self) -> Option<Vec<u8>> {
        if !self.adopted {
            return None;
        }
        let own = self.data[self.start..self.end].to_vec();
        self.end = own.len();
        self.start = 0;
        self.adopted = false;
        Some(std::mem::replace(&mut self.data, own))
    }

    /// What has arrived and was not consumed.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Forgets the first `count` unread bytes.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Gives all memory back.
    pub fn clear(&mut self) {
        *self = ReceiveBuffer::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(steps in prop::collection::vec((1usize..9000, 0usize..9000), 1..60)) {
            let mut buffer = ReceiveBuffer::new();
            let mut model = std::collections::VecDeque::new();
            let mut next = 0u8;
            for (arrives, leaves) in steps {
                let room = buffer.writable();
                prop_assert!(!room.is_empty());
                let count = arrives.min(room.len());
                for byte in &mut room[..count] {
                    *byte = next;
                    model.push_back(next);
                    next = next.wrapping_add(1);
                }
                buffer.filled(count);
                let leaves = leaves.min(model.len());
                buffer.consume(leaves);
                model.drain(..leaves);
                prop_assert!(buffer.unread().iter().eq(model.iter()));
            }
        }
    }

    proptest! {
        #[test]
        fn a_shared_buffer_keeps_what_each_has_left(
            steps in prop::collection::vec((0usize..3, 1usize..9000, 0usize..12000, any::<bool>()), 1..60)
        ) {
            let mut shared = vec![0; SHARED];
            let mut buffers = [ReceiveBuffer::new(), ReceiveBuffer::new(), ReceiveBuffer::new()];
            let mut models = [const { Vec::new() }; 3];
            let mut next = 0u8;
            for (which, arrives, leaves, own) in steps {
                let (buffer, model) = (&mut buffers[which], &mut models[which]);
                let from = buffer.shared_from().filter(|_| !own);
                let room = match from {
                    Some(from) => &mut shared[from..],
                    None => buffer.writable(),
                };
                let count = arrives.min(room.len());
                for byte in &mut room[..count] {
                    *byte = next;
                    model.push(next);
                    next = next.wrapping_add(1);
                }
                match from {
                    Some(_) => buffer.adopt(std::mem::take(&mut shared), count),
                    None => buffer.filled(count),
                }
                prop_assert_eq!(buffer.unread(), &model[..]);
                let leaves = leaves.min(model.len());
                buffer.consume(leaves);
                model.drain(..leaves);
                prop_assert_eq!(buffer.unread(), &model[..]);
                if let Some(back) = buffer.give_back() {
                    prop_assert_eq!(back.len(), SHARED);
                    shared = back;
                    prop_assert_eq!(buffer.capacity(), model.len());
                }
                prop_assert_eq!(buffer.unread(), &model[..]);
            }
        }
    }

    #[test]
    fn a_shared_buffer_is_given_back_as_it_was_or_not_at_all() {
        let mut buffer = ReceiveBuffer::new();
        buffer.adopt(vec![0; SHARED], 100);
        buffer.consume(100);
        buffer.writable();
        assert!(buffer.give_back().is_none_or(|back| back.len() == SHARED));
        let mut buffer = ReceiveBuffer::new();
        buffer.adopt(vec![0; SHARED], SHARED);
        buffer.writable();
        assert!(buffer.give_back().is_none_or(|back| back.len() == SHARED));
    }

    #[test]
    fn a_long_message_in_small_pieces_is_moved_a_few_times_only() {
        let mut buffer = ReceiveBuffer::new();
        let mut sizes = std::collections::BTreeSet::new();
        while buffer.unread().len() < 4 * 1024 * 1024 {
            let count = buffer.writable().len().min(100);
            buffer.filled(count);
            sizes.insert(buffer.capacity());
            assert!(buffer.capacity() <= 2 * buffer.unread().len() + 8 * 1024);
        }
        assert!(sizes.len() < 25, "{}", sizes.len());
    }

    #[test]
    fn memory_follows_what_arrives() {
        let mut buffer = ReceiveBuffer::new();
        assert_eq!(buffer.capacity(), 0);
        buffer.writable();
        assert!(buffer.capacity() <= 4 * 1024);
        for _ in 0..20 {
            let room = buffer.writable().len();
            buffer.filled(room);
            let unread = buffer.unread().len();
            buffer.consume(unread);
        }
        assert!(buffer.capacity() >= 256 * 1024);
        for _ in 0..10_000 {
            buffer.writable();
            buffer.filled(1);
            buffer.consume(1);
        }
        assert!(buffer.capacity() <= 32 * 1024, "{}", buffer.capacity());
    }
}
