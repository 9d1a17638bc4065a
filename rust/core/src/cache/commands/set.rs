//! Set: stores a value under a key for a time.

use crate::cache::engine::item::Scalar;
use crate::cache::engine::items::Items;
use crate::wire::protobuf_reader::wire;

use super::request::{self, Request};

/// `Unary.set`.
pub(super) const COMMAND: u32 = 3;
/// `CacheResponse.set`, which is empty.
pub(super) const STORED: &[u8] = &[12 << 3 | wire::BYTES, 0];

/// Appends the command without a header.
#[inline]
pub fn write(namespace: &str, key: &[u8], value: &[u8], ttl_ms: u64, output: &mut Vec<u8>) {
    let request = Request {
        command: COMMAND,
        namespace,
        key,
        value: Some(value),
        ttl_ms: Some(ttl_ms),
    };
    request::write(&request, output);
}

/// Stores the value, whatever was there; one that can never fit is refused, and not here.
#[inline]
pub(super) fn execute<S: Scalar>(
    request: &Request<'_>,
    items: &mut Items<S>,
    now: u64,
) -> Option<&'static [u8]> {
    let (namespace, value) = (request.namespace.as_bytes(), request.value.unwrap_or(b""));
    let kept = S::make(value);
    let stored = items.set(
        now,
        namespace,
        request.key,
        kept,
        value.len(),
        request.ttl_ms.unwrap_or(0),
    );
    stored.ok().map(|()| STORED)
}
