//! Memory that the connections of a thread use in turns: an idle connection needs none of its own.

use std::cell::RefCell;

use protosocket_core::connection::receive_buffer::SHARED;

/// A connection without anything to send keeps at most this much memory for it.
pub const MAX_IDLE: usize = 512;
/// The largest memory that is kept for the next connection that sends: what is longer was one burst.
const MAX_KEPT: usize = 256 * 1024;

thread_local! {
    /// What this thread's connections read into; empty while one of them handles what it read.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// For the next connection that has something to send.
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Has `fill` look at the buffer that is read into, from `from` on.
#[inline]
pub fn with_read<R>(from: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
    READ.with_borrow_mut(|buffer| {
        if buffer.len() < SHARED {
            *buffer = vec![0; SHARED];
        }
        fill(&mut buffer[from..])
    })
}

/// Takes the buffer that was read into.
#[inline]
pub fn take_read() -> Vec<u8> {
    READ.take()
}

/// Gives it back.
#[inline]
pub fn give_read(buffer: Vec<u8>) {
    READ.set(buffer);
}

/// Memory for what is to be sent, empty.
#[inline]
pub fn take_write() -> Vec<u8> {
    WRITE.take()
}

/// Keeps it for the next one.
#[inline]
pub fn give_write(mut memory: Vec<u8>) {
    memory.shrink_to(MAX_KEPT);
    WRITE.set(memory);
}
