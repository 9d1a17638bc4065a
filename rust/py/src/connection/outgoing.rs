//! What a connection has to send: messages that wait to be handed to the transport.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::shared_memory;
use crate::guarded::Held;

/// The send queue of one connection.
#[derive(Default)]
pub struct Outgoing {
    output: Vec<u8>,
    /// What goes out before `output`: long payloads as they are, and what stands between them.
    segments: Vec<Held<PyBytes>>,
    segment_bytes: usize,
    /// Messages in `segments` and `output`.
    pub messages: usize,
    /// The transport takes no more for now.
    pub is_stalled: bool,
    /// A flush is to come at the end of this turn of the event loop.
    pub is_flush_scheduled: bool,
    /// A sender waits for room.
    pub wants_room: bool,
}

impl Outgoing {
    /// Bytes that wait to be handed to the transport.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.segment_bytes + self.output.len()
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.segment_bytes + self.output.capacity()
    }

    /// Where the next message is appended.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.is_empty() && self.output.capacity() <= shared_memory::MAX_IDLE {
            self.output = shared_memory::take_write();
        }
        &mut self.output
    }

    /// Bytes in `output`.
    #[inline]
    pub fn unflushed(&self) -> usize {
        self.output.len()
    }

    /// Everything, if none of it is a long payload.
    #[inline]
    pub fn whole(&self) -> Option<&[u8]> {
        self.segments.is_empty().then_some(&self.output)
    }

    /// Appends a long payload without copying it.
    pub fn append_whole(&mut self, py: Python<'_>, payload: &Bound<'_, PyBytes>) {
        if !self.output.is_empty() {
            self.segments.push(PyBytes::new(py, &self.output).into());
            self.segment_bytes += self.output.len();
            self.output.clear();
        }
        self.segment_bytes += payload.as_bytes().len();
        self.segments.push(payload.clone().into());
    }

    /// Forgets everything, of which the transport has taken the first `sent` bytes of `output`. What is left is for
    /// the caller to hand over, when this is borrowed no more.
    #[inline]
    #[must_use]
    pub fn take_left(&mut self, py: Python<'_>, sent: usize) -> Vec<Held<PyBytes>> {
        let mut parts = std::mem::take(&mut self.segments);
        if sent < self.output.len() {
            parts.push(PyBytes::new(py, &self.output[sent..]).into());
        }
        self.messages = 0;
        self.segment_bytes = 0;
        self.output.clear();
        if self.output.capacity() > shared_memory::MAX_IDLE {
            shared_memory::give_write(std::mem::take(&mut self.output));
        }
        parts
    }

    /// Forgets everything. It is for the caller to drop, when this is borrowed no more.
    #[cold]
    #[must_use]
    pub fn take_all(&mut self) -> (Vec<u8>, Vec<Held<PyBytes>>) {
        self.messages = 0;
        self.segment_bytes = 0;
        (
            std::mem::take(&mut self.output),
            std::mem::take(&mut self.segments),
        )
    }
}
