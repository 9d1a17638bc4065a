//! A few bytes without a heap.

/// An encoded field of a header; the longest, of protobuf, takes fifteen bytes.
#[derive(Clone, Copy, Default)]
pub struct Piece {
    bytes: [u8; 20],
    length: u8,
}

impl Piece {
    /// No bytes.
    pub fn new() -> Self {
        Piece {
            bytes: [0; 20],
            length: 0,
        }
    }

    /// Adds a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.length)] = byte;
        self.length += 1;
    }

    /// Adds bytes.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether it has none, as a protobuf field that is zero.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
