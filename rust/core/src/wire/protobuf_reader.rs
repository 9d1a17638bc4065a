//! Protobuf's wire format read field by field, taking exactly what upb takes (google's library under its Python messages):
//! tests/test_native_differential.py compares the two.

use super::malformed::Malformed;

/// Submessages and groups may nest this deep below the outermost message, as in protobuf's own parsers.
pub const MAX_DEPTH: u32 = 100;

/// The wire types: how a field's value is written, the low three bits of its key.
pub mod wire {
    /// A base-128 number.
    pub const VARINT: u8 = 0;
    /// Eight bytes, little-endian.
    pub const FIXED64: u8 = 1;
    /// A length and as many bytes.
    pub const BYTES: u8 = 2;
    /// A group begins.
    pub const START_GROUP: u8 = 3;
    /// A group ends.
    pub const END_GROUP: u8 = 4;
    /// Four bytes, little-endian.
    pub const FIXED32: u8 = 5;
}

const TRUNCATED: Malformed = Malformed("the message ends within a field");

/// The unread rest of a message.
///
/// Unlike [`crate::wire::varint::read`] it drops what a ten-byte number says beyond 64 bits, as upb does.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A field's key: its number and its wire type.
    #[inline]
    pub fn key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                u32::from(*first)
            }
            _ => self.long_key()?,
        };
        if key < 8 {
            return Err(Malformed("a field number is zero"));
        }
        Ok((key >> 3, (key & 7) as u8))
    }

    fn long_key(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return u32::try_from(value).map_err(|_| Malformed("a field number is over 2^29 - 1"));
            }
        }
        Err(if self.rest.len() < 5 {
            TRUNCATED
        } else {
            Malformed("a field's key is longer than five bytes")
        })
    }

    /// A number.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first & 0x7f) | u64::from(*second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            TRUNCATED
        } else {
            Malformed("a number is longer than ten bytes")
        })
    }

    /// Four bytes.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// Eight bytes.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// A length and as many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        if length > self.rest.len() as u64 {
            return Err(Malformed("a field is longer than its message"));
        }
        let (bytes, rest) = self.rest.split_at(length as usize);
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over the value of a field whose key has been read; groups may nest `depth` deep.
    pub fn skip(&mut self, number: u32, wire_type: u8, depth: u32) -> Result<(), Malformed> {
        match wire_type {
            wire::VARINT => self.varint().map(drop),
            wire::FIXED64 => self.fixed64().map(drop),
            wire::BYTES => self.bytes().map(drop),
            wire::FIXED32 => self.fixed32().map(drop),
            wire::START_GROUP => {
                let depth = depth
                    .checked_sub(1)
                    .ok_or(Malformed("groups are nested too deep"))?;
                loop {
                    let (inner, wire_type) = self.key()?;
                    if wire_type != wire::END_GROUP {
                        self.skip(inner, wire_type, depth)?;
                    } else if inner == number {
                        return Ok(());
                    } else {
                        return Err(Malformed("a group ends that never began"));
                    }
                }
            }
            wire::END_GROUP => Err(Malformed("a group ends that never began")),
            _ => Err(Malformed("a field has a wire type that does not exist")),
        }
    }
}

/// A signed number as `sint32` and `sint64` have it.
#[inline]
pub fn from_zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::varint;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_written(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            varint::write(value, &mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.is_empty());
            prop_assert!(Reader::new(&bytes[..bytes.len() - 1]).varint().is_err());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() {
                let Ok((number, wire_type)) = reader.key() else { break };
                if reader.skip(number, wire_type, MAX_DEPTH).is_err() { break }
            }
        }
    }

    #[test]
    fn groups_nest_to_the_limit() {
        for (depth, fits) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            let mut bytes = vec![0x0b; depth as usize];
            bytes.extend(vec![0x0c; depth as usize]);
            let mut reader = Reader::new(&bytes);
            let (number, wire_type) = reader.key().unwrap();
            assert_eq!(reader.skip(number, wire_type, MAX_DEPTH).is_ok(), fits);
        }
    }

    #[test]
    fn what_a_number_says_beyond_64_bits_is_dropped() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Reader::new(&bytes).varint(), Ok(u64::MAX));
    }
}
