//! The cache's everyday commands, a file each: how they are written, executed on an engine, and how answers are read.
//!
//! The messages are those of `proto/protosocket_cache.proto`. This is a command's native form, for ends where nobody looks
//! at it as a message. What is unusual about one (another field, one that comes twice, another command, a refusal) is left
//! alone here: it goes the way of every message, whose meaning `protosocket.cache.commands` has.

mod answer;
pub mod delete;
pub mod get;
mod request;
pub mod set;

use crate::cache::engine::item::Scalar;
use crate::cache::engine::items::Items;

pub use answer::is_done;

/// Executes an encoded `CacheCommand`, with or without its header: the encoded answer, without one, for which `memory` is
/// used as far as it is needed. None for a command that is not for here; nothing was done then.
#[inline]
pub fn execute<'b, S: Scalar>(
    message: &[u8],
    items: &mut Items<S>,
    now: u64,
    memory: &'b mut Vec<u8>,
) -> Option<&'b [u8]> {
    let request = request::read(message)?;
    match request.command {
        get::COMMAND => get::execute(&request, items, now, memory),
        set::COMMAND => set::execute(&request, items, now),
        delete::COMMAND => delete::execute(&request, items, now),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
