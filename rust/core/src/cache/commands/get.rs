//! Get: what is under a key?

use crate::cache::engine::item::Scalar;
use crate::cache::engine::items::Items;
use crate::wire::protobuf_reader::{Reader, wire};

use super::answer::{HEADER, field_length, only, prefix};
use super::request::{self, Request};

/// `Unary.get`.
pub(super) const COMMAND: u32 = 2;
/// `CacheResponse.get` and, in it, the value.
const ANSWER: u32 = 11;
/// The answer to a read that finds nothing: error 5, NOT_FOUND, with the text that Momento's SDK looks for.
pub(super) const MISS: &[u8] = b"\x4a\x11\x08\x05\x12\x0dKey not found";

/// Appends the command without a header.
#[inline]
pub fn write(namespace: &str, key: &[u8], output: &mut Vec<u8>) {
    let request = Request {
        command: COMMAND,
        namespace,
        key,
        ..Request::default()
    };
    request::write(&request, output);
}

/// The value, or `MISS`; a collection is refused, and not here.
#[inline]
pub(super) fn execute<'b, S: Scalar>(
    request: &Request<'_>,
    items: &mut Items<S>,
    now: u64,
    memory: &'b mut Vec<u8>,
) -> Option<&'b [u8]> {
    if !request.is_plain() {
        return None;
    }
    let namespace = request.namespace.as_bytes();
    memory.clear();
    let found = items.get(now, namespace, request.key, |value| {
        value.read(|value| write_answer(value, memory));
    });
    Some(found.ok()?.map_or(MISS, |()| &**memory))
}

/// The value in an encoded `CacheResponse` that has one and nothing unusual.
#[inline]
pub fn read_answer(message: &[u8]) -> Option<&[u8]> {
    let mut found = Reader::new(only(message, HEADER, ANSWER)?);
    if found.is_empty() {
        return Some(b"");
    }
    let value = match found.key().ok()? {
        (1, wire::BYTES) => found.bytes().ok()?,
        _ => return None,
    };
    found.is_empty().then_some(value)
}

/// Appends the answer with `value`, without a header.
#[inline]
pub(super) fn write_answer(value: &[u8], output: &mut Vec<u8>) {
    prefix(ANSWER, field_length(value.len()), output);
    if !value.is_empty() {
        prefix(1, value.len(), output);
        output.extend_from_slice(value);
    }
}
