//! Delete: removes what is under a key, whatever it is.

use crate::cache::engine::item::Scalar;
use crate::cache::engine::items::Items;
use crate::wire::protobuf_reader::wire;

use super::request::{self, Request};

/// `Unary.delete`.
pub(super) const COMMAND: u32 = 4;
/// `CacheResponse.delete`, which is empty.
pub(super) const REMOVED: &[u8] = &[13 << 3 | wire::BYTES, 0];

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

/// Removes the entry, if there is one.
#[inline]
pub(super) fn execute<S: Scalar>(
    request: &Request<'_>,
    items: &mut Items<S>,
    now: u64,
) -> Option<&'static [u8]> {
    if !request.is_plain() {
        return None;
    }
    items.delete(now, request.namespace.as_bytes(), request.key);
    Some(REMOVED)
}
