//! The usual form of a `CacheResponse`: one answer, and beside it no field but the header's.

use crate::wire::protobuf_reader::{Reader, wire};
use crate::wire::varint;

/// `CacheResponse.message_id` and `.control_code`.
pub(super) const HEADER: (u32, u32) = (1, 2);

/// Whether an encoded `CacheResponse` is the empty answer in field `number`, and nothing unusual.
#[inline]
pub fn is_done(message: &[u8], number: u32) -> bool {
    only(message, HEADER, number).is_some_and(<[u8]>::is_empty)
}

/// The content of field `wanted`, if the message has it once and beside it no field but its header's.
#[inline]
pub(super) fn only(message: &[u8], header: (u32, u32), wanted: u32) -> Option<&[u8]> {
    let mut reader = Reader::new(message);
    let mut content = None;
    while !reader.is_empty() {
        let (number, wire_type) = reader.key().ok()?;
        if number == wanted && wire_type == wire::BYTES {
            if content.replace(reader.bytes().ok()?).is_some() {
                return None;
            }
        } else if wire_type == wire::VARINT && (number == header.0 || number == header.1) {
            reader.varint().ok()?;
        } else {
            return None;
        }
    }
    content
}

/// Bytes of a field with `length` bytes of content, which is left out if it has none.
#[inline]
pub(super) fn field_length(length: usize) -> usize {
    if length == 0 {
        0
    } else {
        1 + varint::length(length as u64) + length
    }
}

/// Appends the key of field `number` and the length of its content.
#[inline]
pub(super) fn prefix(number: u32, length: usize, output: &mut Vec<u8>) {
    output.push((number << 3) as u8 | wire::BYTES);
    varint::write(length as u64, output);
}
