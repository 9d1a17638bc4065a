//! The cache's three everyday commands and their answers on the wire, for ends where nobody looks at them as messages.
//!
//! The messages are those of `proto/protosocket_cache.proto`. What is unusual about one (another field, one that
//! comes twice, another command) is not read here: it goes the way of every message.

use crate::varint;
use crate::wire_reader::{Reader, wire};

/// A command whose fields are the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// What is under the key?
    Get {
        /// The cache's name.
        namespace: &'a str,
        /// The key.
        key: &'a [u8],
    },
    /// Store a value.
    Set {
        /// The cache's name.
        namespace: &'a str,
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// How long it lives, milliseconds.
        ttl_ms: u64,
    },
    /// Remove what is under the key.
    Delete {
        /// The cache's name.
        namespace: &'a str,
        /// The key.
        key: &'a [u8],
    },
}

/// `CacheCommand.unary`, whose number needs no more than a byte; so do those of the other fields here.
const UNARY: u32 = 10;
const GET: u32 = 2;
const SET: u32 = 3;
const DELETE: u32 = 4;

/// The answer to a write.
pub const STORED: &[u8] = &[12 << 3 | wire::BYTES, 0];
/// The answer to a removal.
pub const REMOVED: &[u8] = &[13 << 3 | wire::BYTES, 0];
/// The answer to a read that finds nothing: error 5, NOT_FOUND, with the text that Momento's SDK looks for.
pub const MISS: &[u8] = b"\x4a\x11\x08\x05\x12\x0dKey not found";

/// `CacheResponse.get` and, in it, the value.
const FOUND: u32 = 11;

/// Reads an encoded `CacheCommand`, with or without its header; None for one that is not usual.
#[inline]
pub fn read_command(message: &[u8]) -> Option<Command<'_>> {
    let mut unary = Reader::new(only(message, (2, 3), UNARY)?);
    let (kind, wire_type) = unary.key().ok()?;
    if wire_type != wire::BYTES {
        return None;
    }
    let mut fields = Reader::new(unary.bytes().ok()?);
    if !unary.is_empty() {
        return None;
    }
    let (mut namespace, mut key, mut value, mut ttl_ms) = (None, None, None, None);
    while !fields.is_empty() {
        let (number, wire_type) = fields.key().ok()?;
        let twice = match (number, wire_type) {
            (1, wire::BYTES) => namespace.replace(fields.bytes().ok()?).is_some(),
            (2, wire::BYTES) => key.replace(fields.bytes().ok()?).is_some(),
            (3, wire::BYTES) if kind == SET => value.replace(fields.bytes().ok()?).is_some(),
            (4, wire::VARINT) if kind == SET => ttl_ms.replace(fields.varint().ok()?).is_some(),
            _ => return None,
        };
        if twice {
            return None;
        }
    }
    let namespace = std::str::from_utf8(namespace.filter(|name| !name.is_empty())?).ok()?;
    let key = key.unwrap_or(b"");
    match kind {
        GET => Some(Command::Get { namespace, key }),
        SET => Some(Command::Set {
            namespace,
            key,
            value: value.unwrap_or(b""),
            ttl_ms: ttl_ms.unwrap_or(0),
        }),
        DELETE => Some(Command::Delete { namespace, key }),
        _ => None,
    }
}

/// Appends a `CacheCommand` without a header.
#[inline]
pub fn write_command(command: &Command<'_>, output: &mut Vec<u8>) {
    let (kind, namespace, key, value, ttl_ms) = match command {
        Command::Get { namespace, key } => (GET, namespace, key, &b""[..], 0),
        Command::Set {
            namespace,
            key,
            value,
            ttl_ms,
        } => (SET, namespace, key, *value, *ttl_ms),
        Command::Delete { namespace, key } => (DELETE, namespace, key, &b""[..], 0),
    };
    let mut inner = field_length(namespace.len()) + field_length(key.len()) + field_length(value.len());
    if ttl_ms != 0 {
        inner += 1 + varint::length(ttl_ms);
    }
    let middle = 1 + varint::length(inner as u64) + inner;
    output.reserve(11 + middle);
    prefix(UNARY, middle, output);
    prefix(kind, inner, output);
    for (number, content) in [(1, namespace.as_bytes()), (2, key), (3, value)] {
        if !content.is_empty() {
            prefix(number, content.len(), output);
            output.extend_from_slice(content);
        }
    }
    if ttl_ms != 0 {
        output.push((4 << 3) | wire::VARINT);
        varint::write(ttl_ms, output);
    }
}

/// Appends the answer to a read that found `value`, without a header.
#[inline]
pub fn write_found(value: &[u8], output: &mut Vec<u8>) {
    prefix(FOUND, field_length(value.len()), output);
    if !value.is_empty() {
        prefix(1, value.len(), output);
        output.extend_from_slice(value);
    }
}

/// The value in an encoded `CacheResponse` that has one and nothing unusual.
#[inline]
pub fn read_found(message: &[u8]) -> Option<&[u8]> {
    let mut found = Reader::new(only(message, (1, 2), FOUND)?);
    if found.is_empty() {
        return Some(b"");
    }
    let value = match found.key().ok()? {
        (1, wire::BYTES) => found.bytes().ok()?,
        _ => return None,
    };
    found.is_empty().then_some(value)
}

/// Whether an encoded `CacheResponse` says what `answer` (`STORED` or `REMOVED`) says, and nothing unusual.
#[inline]
pub fn is_answer(message: &[u8], answer: &[u8]) -> bool {
    let number = u32::from(answer[0] >> 3);
    only(message, (1, 2), number).is_some_and(<[u8]>::is_empty)
}

/// The content of field `wanted`, if the message has it once and beside it no field but its header's.
#[inline]
fn only(message: &[u8], header: (u32, u32), wanted: u32) -> Option<&[u8]> {
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
fn field_length(length: usize) -> usize {
    if length == 0 {
        0
    } else {
        1 + varint::length(length as u64) + length
    }
}

#[inline]
fn prefix(number: u32, length: usize, output: &mut Vec<u8>) {
    output.push((number << 3) as u8 | wire::BYTES);
    varint::write(length as u64, output);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(command: &Command<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_command(command, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            namespace in "\\PC{1,20}",
            key in prop::collection::vec(any::<u8>(), 0..200),
            value in prop::collection::vec(any::<u8>(), 0..300),
            ttl_ms: u64,
            kind in 0..3,
        ) {
            let (namespace, key, value) = (&*namespace, &*key, &*value);
            let command = match kind {
                0 => Command::Get { namespace, key },
                1 => Command::Set { namespace, key, value, ttl_ms },
                _ => Command::Delete { namespace, key },
            };
            let mut bytes = written(&command);
            prop_assert_eq!(read_command(&bytes), Some(command));
            // With a header before and behind it.
            bytes.splice(0..0, [2 << 3, 7]);
            bytes.extend([3 << 3, 0]);
            prop_assert_eq!(read_command(&bytes), Some(command));
            // A field that is not known, or one that comes twice.
            let mut other = bytes.clone();
            other.extend([15 << 3, 1]);
            prop_assert_eq!(read_command(&other), None);
            let mut twice = bytes.clone();
            twice.extend(written(&command));
            prop_assert_eq!(read_command(&twice), None);
            let mut found = Vec::new();
            write_found(value, &mut found);
            prop_assert_eq!(read_found(&found), Some(value));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (read_command(&bytes), read_found(&bytes));
        }
    }

    #[test]
    fn what_is_not_usual_is_left_alone() {
        let no_namespace = written(&Command::Get {
            namespace: "",
            key: b"k",
        });
        assert_eq!(read_command(&no_namespace), None);
        assert_eq!(read_command(b""), None);
        assert_eq!(read_command(b"\x52\x00"), None);
        assert_eq!(read_command(b"\x52\x06\x12\x04\x0a\x02\xff\xff"), None);
        assert_eq!(read_found(MISS), None);
        assert_eq!(read_found(STORED), None);
        assert_eq!(read_found(b""), None);
        assert!(is_answer(STORED, STORED) && is_answer(REMOVED, REMOVED));
        assert!(is_answer(b"\x08\x07\x62\x00", STORED));
        assert!(!is_answer(REMOVED, STORED) && !is_answer(b"", STORED) && !is_answer(MISS, STORED));
        assert!(!is_answer(b"\x62\x01\x00", STORED) && !is_answer(b"\x62\x00\x62\x00", STORED));
    }
}
