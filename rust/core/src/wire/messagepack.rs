//! MessagePack values walked without making anything of them, and the few that are written here.
//!
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>

use super::malformed::Malformed;
use super::piece::Piece;

/// Bytes of the longest text that [`write_string`] writes: the length that two bytes say.
pub const MAX_STRING: usize = u16::MAX as usize;

const ENDS: Malformed = Malformed("the message ends too early");
const NO_NUMBER: Malformed = Malformed("the id or the control code is not an unsigned integer");

/// The unread rest of a message.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// What was read since `before`.
    pub fn since(&self, before: &Reader<'a>) -> &'a [u8] {
        &self.bytes[before.at..self.at]
    }

    /// Back to the byte that was read last.
    pub fn go_back(&mut self) {
        self.at -= 1;
    }

    /// Where it is, in bytes from the start.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(ENDS)?;
        self.at += 1;
        Ok(byte)
    }

    /// A big-endian unsigned integer of `N` bytes.
    pub fn unsigned<const N: usize>(&mut self) -> Result<u64, Malformed> {
        let bytes = self.bytes[self.at..].first_chunk::<N>().ok_or(ENDS)?;
        self.at += N;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(ENDS);
        }
        let start = self.at;
        self.at += length as usize;
        Ok(&self.bytes[start..self.at])
    }

    /// The number of elements of an array whose head is here.
    pub fn array(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            byte @ 0x90..=0x9f => Ok(usize::from(byte & 0x0f)),
            0xdc => Ok(self.unsigned::<2>()? as usize),
            0xdd => Ok(self.unsigned::<4>()? as usize),
            _ => Err(Malformed("the message is not a MessagePack array")),
        }
    }

    /// The number of pairs of a map whose head is here.
    pub fn map(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            byte @ 0x80..=0x8f => Ok(usize::from(byte & 0x0f)),
            0xde => Ok(self.unsigned::<2>()? as usize),
            0xdf => Ok(self.unsigned::<4>()? as usize),
            _ => Err(Malformed("the message is not a MessagePack map")),
        }
    }

    /// The string at this place, or nothing (and the value skipped) if it is something else.
    pub fn string(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let start = self.at;
        let length = match self.byte()? {
            byte @ 0xa0..=0xbf => u64::from(byte & 0x1f),
            0xd9 => self.unsigned::<1>()?,
            0xda => self.unsigned::<2>()?,
            0xdb => self.unsigned::<4>()?,
            _ => {
                self.at = start;
                self.skip()?;
                return Ok(None);
            }
        };
        self.take(length).map(Some)
    }

    /// An integer that is not negative, in any form.
    pub fn integer(&mut self) -> Result<u64, Malformed> {
        let (value, sign) = match self.byte()? {
            byte @ 0..=0x7f => (u64::from(byte), 0),
            0xcc => (self.unsigned::<1>()?, 0),
            0xcd => (self.unsigned::<2>()?, 0),
            0xce => (self.unsigned::<4>()?, 0),
            0xcf => (self.unsigned::<8>()?, 0),
            0xd0 => (self.unsigned::<1>()?, 1u64 << 7),
            0xd1 => (self.unsigned::<2>()?, 1 << 15),
            0xd2 => (self.unsigned::<4>()?, 1 << 31),
            0xd3 => (self.unsigned::<8>()?, 1 << 63),
            _ => return Err(NO_NUMBER),
        };
        if value & sign != 0 {
            Err(NO_NUMBER)
        } else {
            Ok(value)
        }
    }

    /// Skips one value, however deep.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_to_map(u64::MAX).map(drop)
    }

    /// Skips one value, or what of it comes before a map of so many pairs; whether there is one. A counter of values
    /// still open, no recursion.
    #[inline]
    pub fn skip_to_map(&mut self, pairs: u64) -> Result<bool, Malformed> {
        let mut open = 1u64;
        while open > 0 {
            open -= 1;
            match self.byte()? {
                0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => {}
                byte @ 0x80..=0x8f => open += 2 * u64::from(byte & 0x0f),
                byte @ 0x90..=0x9f => open += u64::from(byte & 0x0f),
                byte @ 0xa0..=0xbf => drop(self.take(u64::from(byte & 0x1f))?),
                0xc1 => return Err(Malformed("0xc1 is no MessagePack value")),
                0xc4 | 0xd9 => {
                    let length = self.unsigned::<1>()?;
                    self.take(length)?;
                }
                0xc5 | 0xda => {
                    let length = self.unsigned::<2>()?;
                    self.take(length)?;
                }
                0xc6 | 0xdb => {
                    let length = self.unsigned::<4>()?;
                    self.take(length)?;
                }
                0xc7 => {
                    let length = self.unsigned::<1>()?;
                    self.take(length + 1)?;
                }
                0xc8 => {
                    let length = self.unsigned::<2>()?;
                    self.take(length + 1)?;
                }
                0xc9 => {
                    let length = self.unsigned::<4>()?;
                    self.take(length + 1)?;
                }
                0xcc | 0xd0 => drop(self.take(1)?),
                0xcd | 0xd1 => drop(self.take(2)?),
                0xca | 0xce | 0xd2 => drop(self.take(4)?),
                0xcb | 0xcf | 0xd3 => drop(self.take(8)?),
                byte @ 0xd4..=0xd8 => drop(self.take(1 + (1 << (byte - 0xd4)))?),
                0xdc => open += self.unsigned::<2>()?,
                0xdd => open += self.unsigned::<4>()?,
                byte @ 0xde..=0xdf => {
                    let count = match byte {
                        0xde => self.unsigned::<2>()?,
                        _ => self.unsigned::<4>()?,
                    };
                    if count >= pairs {
                        return Ok(true);
                    }
                    open += 2 * count;
                }
            }
        }
        Ok(false)
    }
}

/// An unsigned integer in its shortest form.
#[inline]
pub fn shortest(value: u64) -> Piece {
    let mut piece = Piece::new();
    match value {
        0..=0x7f => piece.push(value as u8),
        0x80..=0xff => {
            piece.push(0xcc);
            piece.push(value as u8);
        }
        0x100..=0xffff => {
            piece.push(0xcd);
            piece.extend(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            piece.push(0xce);
            piece.extend(&(value as u32).to_be_bytes());
        }
        _ => {
            piece.push(0xcf);
            piece.extend(&value.to_be_bytes());
        }
    }
    piece
}

/// Appends what a map of so many pairs begins with, in its shortest form.
pub fn write_map(pairs: usize, output: &mut Vec<u8>) {
    match pairs {
        0..=15 => output.push(0x80 | pairs as u8),
        16..=0xffff => {
            output.push(0xde);
            output.extend_from_slice(&(pairs as u16).to_be_bytes());
        }
        _ => {
            output.push(0xdf);
            output.extend_from_slice(&(pairs as u32).to_be_bytes());
        }
    }
}

/// Appends a text of at most [`MAX_STRING`] bytes in its shortest form.
pub fn write_string(text: &str, output: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => output.push(0xa0 | length as u8),
        length @ 32..=0xff => output.extend_from_slice(&[0xd9, length as u8]),
        length => {
            output.push(0xda);
            output.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    output.extend_from_slice(text.as_bytes());
}
