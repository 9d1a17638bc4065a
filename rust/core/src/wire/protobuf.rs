//! Protobuf's wire format walked field by field, as the header scan and the relay need it; groups included.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use super::malformed::Malformed;
use super::varint;

/// Groups may nest this deep, as in protobuf's own parsers (`kDefaultDepthLimit` of upb).
const MAX_DEPTH: usize = 100;

/// Calls `see` with the number and the content of each length-delimited field.
///
/// What protobuf's own parsers refuse is refused here: tags and lengths of more than five bytes. Groups, which
/// they would pass over, are too.
#[inline]
pub fn each_bytes<'a>(
    message: &'a [u8],
    mut see: impl FnMut(u32, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut at = 0;
    while at < message.len() {
        let start = at;
        let field = Walk::field(message, &mut at)?;
        let tag = short_varint(&message[start..])?;
        match field.wire {
            2 => {
                short_varint(&message[start + tag..])?;
                see(field.number, &message[at - field.value as usize..at])?;
            }
            3 => return Err(Malformed("a group")),
            _ => {}
        }
    }
    Ok(())
}

/// The length of the varint at the start of `bytes`, which is at most five bytes long.
#[inline]
fn short_varint(bytes: &[u8]) -> Result<usize, Malformed> {
    match bytes.iter().take(5).position(|byte| *byte < 0x80) {
        Some(at) => Ok(at + 1),
        None => Err(Malformed("a tag or a length takes more than five bytes")),
    }
}

/// One top-level field of a message; `value` is its number, or its length in bytes.
pub(super) struct Walk {
    pub number: u32,
    pub wire: u8,
    pub value: u64,
}

impl Walk {
    /// Reads the field at `at` and moves `at` behind it.
    #[inline]
    pub fn field(message: &[u8], at: &mut usize) -> Result<Walk, Malformed> {
        let (number, wire) = tag(message, at)?;
        let value = match wire {
            3 => {
                skip_group(message, at, number)?;
                0
            }
            4 => return Err(Malformed("a group ends that never began")),
            _ => scalar(message, at, wire)?,
        };
        Ok(Walk { number, wire, value })
    }
}

#[inline]
fn tag(message: &[u8], at: &mut usize) -> Result<(u32, u8), Malformed> {
    let tag = number(message, at)?;
    let field = tag >> 3;
    if field == 0 || tag > u64::from(u32::MAX) {
        return Err(Malformed("a field number is zero or over 2^29 - 1"));
    }
    Ok((field as u32, (tag & 7) as u8))
}

#[inline]
fn number(message: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    match varint::read(&message[*at..]) {
        varint::Read::Value { value, length } => {
            *at += length;
            Ok(value)
        }
        varint::Read::Incomplete => Err(Malformed("the message ends within a number")),
        varint::Read::Invalid => Err(Malformed("a varint is longer than ten bytes")),
    }
}

/// Reads a number or skips bytes (and gives their length); a group is not for here.
#[inline]
fn scalar(message: &[u8], at: &mut usize, wire: u8) -> Result<u64, Malformed> {
    match wire {
        0 => number(message, at),
        1 => take::<8>(message, at).map(u64::from_le_bytes),
        2 => {
            let length = number(message, at)?;
            if length > (message.len() - *at) as u64 {
                return Err(Malformed("a field is longer than its message"));
            }
            *at += length as usize;
            Ok(length)
        }
        5 => take::<4>(message, at).map(|bytes| u64::from(u32::from_le_bytes(bytes))),
        _ => Err(Malformed("a field has a wire type that does not exist")),
    }
}

#[inline]
fn take<const N: usize>(message: &[u8], at: &mut usize) -> Result<[u8; N], Malformed> {
    match message[*at..].first_chunk::<N>() {
        Some(bytes) => {
            *at += N;
            Ok(*bytes)
        }
        None => Err(Malformed("the message ends within a number")),
    }
}

#[cold]
fn skip_group(message: &[u8], at: &mut usize, number: u32) -> Result<(), Malformed> {
    let mut open = vec![number];
    while let Some(innermost) = open.last().copied() {
        let (number, wire) = tag(message, at)?;
        match wire {
            3 if open.len() == MAX_DEPTH => return Err(Malformed("groups are nested deeper than 100")),
            3 => open.push(number),
            4 if number == innermost => {
                open.pop();
            }
            4 => return Err(Malformed("a group ends that never began")),
            _ => {
                scalar(message, at, wire)?;
            }
        }
    }
    Ok(())
}
