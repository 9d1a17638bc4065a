//! Protobuf's wire format written from its end to its start, so that a length is known when it is written.

use super::varint;

/// A field's key as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 5],
    length: u8,
}

impl Key {
    /// The key of the field `number` (1 to 2^29 - 1) with this wire type.
    pub fn new(number: u32, wire_type: u8) -> Self {
        let mut rest = number << 3 | u32::from(wire_type);
        let mut key = Key {
            bytes: [0; 5],
            length: 0,
        };
        loop {
            let more = rest >= 0x80;
            key.bytes[usize::from(key.length)] = rest as u8 & 0x7f | u8::from(more) << 7;
            key.length += 1;
            rest >>= 7;
            if !more {
                return key;
            }
        }
    }
}

/// Bytes from which on a buffer grows to what is needed, and not to the next power of two.
const MIN_EXACT: usize = 64 * 1024;

/// What has been written stands at the end of a buffer that grows at its start.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    start: usize,
}

impl Writer {
    /// An empty one.
    pub const fn new() -> Self {
        Writer {
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Everything written so far, in the order of the wire.
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// How many bytes have been written.
    #[inline]
    pub fn length(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Forgets what was written and keeps at most about `keep` bytes of memory.
    pub fn clear(&mut self, keep: usize) {
        if self.buffer.len() > keep {
            self.buffer = Vec::new();
        }
        self.start = self.buffer.len();
    }

    /// The next `count` bytes towards the start, to be filled.
    #[inline]
    fn room(&mut self, count: usize) -> &mut [u8] {
        if self.start < count {
            self.grow(count);
        }
        let end = self.start;
        self.start -= count;
        &mut self.buffer[self.start..end]
    }

    #[cold]
    fn grow(&mut self, count: usize) {
        let length = self.length();
        let wanted = length + count;
        let size = if wanted < MIN_EXACT {
            wanted.next_power_of_two().max(4096)
        } else {
            // A long value would make it nearly twice as large as needed, and all of it has to be zeroed.
            wanted.max(2 * length) + 1024
        };
        let mut larger = vec![0; size];
        let start = larger.len() - length;
        larger[start..].copy_from_slice(self.written());
        self.buffer = larger;
        self.start = start;
    }

    /// A field's key; its value has been written before.
    #[inline]
    pub fn key(&mut self, key: &Key) {
        let length = usize::from(key.length);
        if length == 1 {
            self.room(1)[0] = key.bytes[0];
        } else {
            self.room(length).copy_from_slice(&key.bytes[..length]);
        }
    }

    /// A number.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        if value < 0x80 {
            self.room(1)[0] = value as u8;
            return;
        }
        let room = self.room(varint::length(value));
        let (last, others) = room.split_last_mut().expect("a number has a byte");
        for byte in others {
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
        *last = value as u8;
    }

    /// Four bytes.
    #[inline]
    pub fn fixed32(&mut self, value: u32) {
        self.room(4).copy_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    #[inline]
    pub fn fixed64(&mut self, value: u64) {
        self.room(8).copy_from_slice(&value.to_le_bytes());
    }

    /// Bytes as they are, without their length.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// A length and its bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.raw(bytes);
        self.varint(bytes.len() as u64);
    }
}

/// A signed number as `sint32` and `sint64` have it.
#[inline]
pub fn to_zigzag(value: i64) -> u64 {
    (value as u64) << 1 ^ (value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protobuf_reader::{Reader, from_zigzag, wire};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_backwards_is_read_forwards(
            number in 1u32..(1 << 29), value in any::<u64>(), shift in 0u32..64,
            bytes in prop::collection::vec(any::<u8>(), 0..6000), fixed in any::<u32>(),
        ) {
            let mut writer = Writer::new();
            for _ in 0..2 {
                writer.clear(8192);
                writer.fixed64(value);
                writer.fixed32(fixed);
                writer.bytes(&bytes);
                writer.varint(value >> shift);
                writer.key(&Key::new(number, wire::VARINT));
                let mut reader = Reader::new(writer.written());
                prop_assert_eq!(writer.length(), reader.rest().len());
                prop_assert_eq!(reader.key(), Ok((number, wire::VARINT)));
                prop_assert_eq!(reader.varint(), Ok(value >> shift));
                prop_assert_eq!(reader.bytes(), Ok(&bytes[..]));
                prop_assert_eq!(reader.fixed32(), Ok(fixed));
                prop_assert_eq!(reader.fixed64(), Ok(value));
                prop_assert!(reader.is_empty());
            }
        }

        #[test]
        fn zigzag(value in any::<i64>()) {
            prop_assert_eq!(from_zigzag(to_zigzag(value)), value);
        }
    }
}
