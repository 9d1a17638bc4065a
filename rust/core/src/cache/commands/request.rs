//! The usual form of a `CacheCommand`: one command on a key, its fields once each.

use crate::wire::protobuf_reader::{Reader, wire};
use crate::wire::varint;

use super::answer::{field_length, only, prefix};

/// `CacheCommand.unary`, whose number needs no more than a byte; so do those of the other fields here.
const UNARY: u32 = 10;

/// `CacheCommand.message_id` and `.control_code`.
const HEADER: (u32, u32) = (2, 3);

/// A command on a key; fields that are not there are empty or 0, as protobuf has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// The field of `Unary` that it is.
    pub command: u32,
    pub namespace: &'a str,
    pub key: &'a [u8],
    /// Field 3 of what stores a value.
    pub value: Option<&'a [u8]>,
    /// Field 4 of what stores a value.
    pub ttl_ms: Option<u64>,
}

impl Request<'_> {
    /// Whether it has nothing but a namespace and a key.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.value.is_none() && self.ttl_ms.is_none()
    }
}

/// Reads an encoded `CacheCommand`, with or without its header; None for one that is not usual.
#[inline]
pub(super) fn read(message: &[u8]) -> Option<Request<'_>> {
    let mut unary = Reader::new(only(message, HEADER, UNARY)?);
    let (command, wire_type) = unary.key().ok()?;
    if wire_type != wire::BYTES {
        return None;
    }
    let mut fields = Reader::new(unary.bytes().ok()?);
    if !unary.is_empty() {
        return None;
    }
    let (mut namespace, mut key, mut value, mut ttl_ms) = (None, None, None, None);
    while !fields.is_empty() {
        let twice = match fields.key().ok()? {
            (1, wire::BYTES) => namespace.replace(fields.bytes().ok()?).is_some(),
            (2, wire::BYTES) => key.replace(fields.bytes().ok()?).is_some(),
            (3, wire::BYTES) => value.replace(fields.bytes().ok()?).is_some(),
            (4, wire::VARINT) => ttl_ms.replace(fields.varint().ok()?).is_some(),
            _ => return None,
        };
        if twice {
            return None;
        }
    }
    // A namespace that is empty or no UTF-8 is refused, and not here.
    let namespace = std::str::from_utf8(namespace.filter(|name| !name.is_empty())?).ok()?;
    Some(Request {
        command,
        namespace,
        key: key.unwrap_or(b""),
        value,
        ttl_ms,
    })
}

/// Appends a `CacheCommand` without a header.
#[inline]
pub(super) fn write(request: &Request<'_>, output: &mut Vec<u8>) {
    let Request { namespace, key, .. } = *request;
    let (value, ttl_ms) = (request.value.unwrap_or(b""), request.ttl_ms.unwrap_or(0));
    let mut inner = field_length(namespace.len()) + field_length(key.len()) + field_length(value.len());
    if ttl_ms != 0 {
        inner += 1 + varint::length(ttl_ms);
    }
    let middle = 1 + varint::length(inner as u64) + inner;
    output.reserve(11 + middle);
    prefix(UNARY, middle, output);
    prefix(request.command, inner, output);
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
