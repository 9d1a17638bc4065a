//! `_core.next_frame`: where one message ends and the next begins, for tests and tools.

use protosocket_core::framing::Step;
use pyo3::prelude::*;

use crate::codec::framing;

/// The message at the start of `unread`, of at most `limit` payload bytes: ("frame", header, total) in
/// bytes, ("incomplete", bytes needed in all, 0), ("too large", its bytes, 0) or ("invalid", 0, 0).
#[pyfunction]
#[pyo3(signature = (kind, unread, limit, /))]
pub fn next_frame(kind: &str, unread: &[u8], limit: usize) -> PyResult<(&'static str, u64, u64)> {
    Ok(match framing(kind)?.next(unread, limit) {
        Step::Frame { header, total } => ("frame", header as u64, total as u64),
        Step::Incomplete { need } => ("incomplete", need as u64, 0),
        Step::TooLarge { size } => ("too large", size, 0),
        Step::Invalid(_) => ("invalid", 0, 0),
    })
}
