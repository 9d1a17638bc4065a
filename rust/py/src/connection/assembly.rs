//! A long payload that is read from the socket right into the bytes object it will be.

use std::{ptr, slice};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The shortest message that is worth it, bytes.
pub const LONG: usize = 64 * 1024;
/// The object is made when this part of the message has arrived: memory follows what arrives, not
/// what a peer declares.
const PART: usize = 8;
/// Bytes read at once at most, so that other connections get their turns.
const LARGEST_READ: usize = 256 * 1024;

/// A payload of which the first `filled` bytes have arrived.
pub struct Assembly {
    payload: Py<PyBytes>,
    length: usize,
    filled: usize,
    /// Bytes of the length prefix before it.
    header: usize,
}

impl Assembly {
    /// Begins one for a message of `total` bytes of which `unread` have arrived, the first `header` of
    /// them its prefix. Nothing if that does not pay, or if there is no memory for it.
    pub fn begin(py: Python<'_>, unread: &[u8], header: usize, total: usize) -> Option<Self> {
        if total < LONG || unread.len() < (total / PART).max(header) || unread.len() >= total {
            return None;
        }
        let length = total - header;
        // SAFETY: makes a bytes object of that length with nothing in it yet, or fails with an exception.
        let made = unsafe {
            let made = ffi::PyBytes_FromStringAndSize(ptr::null(), length as ffi::Py_ssize_t);
            Bound::from_owned_ptr_or_err(py, made)
        };
        let payload = made.ok()?.cast_into::<PyBytes>().ok()?.unbind();
        let mut assembly = Assembly {
            payload,
            length,
            filled: 0,
            header,
        };
        let arrived = &unread[header..];
        assembly.memory()[..arrived.len()].copy_from_slice(arrived);
        assembly.filled = arrived.len();
        Some(assembly)
    }

    /// All of the object's memory.
    fn memory(&mut self) -> &mut [u8] {
        // SAFETY: a bytes object of that length, which lives as long as this, and which nobody else knows yet.
        unsafe {
            let memory = ffi::PyBytes_AsString(self.payload.as_ptr());
            slice::from_raw_parts_mut(memory.cast(), self.length)
        }
    }

    /// Where the next read goes.
    pub fn free(&mut self) -> &mut [u8] {
        let from = self.filled;
        let to = self.length.min(from + LARGEST_READ);
        &mut self.memory()[from..to]
    }

    /// Takes note of bytes read to [`Assembly::free`].
    pub fn filled(&mut self, count: usize) {
        self.filled = self.length.min(self.filled + count);
    }

    /// The payload with the length of its prefix, once all of it is there.
    pub fn whole(&self) -> Option<(&Py<PyBytes>, usize)> {
        (self.filled == self.length).then_some((&self.payload, self.header))
    }

    /// Bytes of the message that have arrived.
    pub fn arrived(&self) -> usize {
        self.header + self.filled
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.length
    }
}
