//! What a socket has not taken yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::guarded::Held;

/// Parts that are written with one system call at most: enough for headers and payloads of a burst.
const MAX_PARTS: usize = 64;

/// Bytes objects in the order in which they are written.
#[derive(Default)]
pub struct Unsent {
    parts: VecDeque<Held<PyBytes>>,
    /// Bytes of the first part that were written.
    offset: usize,
    bytes: usize,
}

impl Unsent {
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, py: Python<'_>, part: Held<PyBytes>) {
        self.bytes += part.as_bytes(py).len();
        self.parts.push_back(part);
    }

    /// What comes next.
    pub fn slices<'a>(&'a self, py: Python<'a>) -> Vec<IoSlice<'a>> {
        let mut parts = self.parts.iter().take(MAX_PARTS).map(|part| part.as_bytes(py));
        let first = parts.next().map(|part| &part[self.offset..]);
        first.into_iter().chain(parts).map(IoSlice::new).collect()
    }

    /// Takes note of bytes that were written; what is done with, to be dropped when this is borrowed no more.
    #[must_use]
    pub fn wrote(&mut self, py: Python<'_>, count: usize) -> Vec<Held<PyBytes>> {
        self.bytes -= count;
        self.offset += count;
        let mut done = Vec::new();
        while let Some(length) = self.parts.front().map(|part| part.as_bytes(py).len()) {
            if self.offset < length {
                break;
            }
            self.offset -= length;
            done.extend(self.parts.pop_front());
        }
        done
    }
}
