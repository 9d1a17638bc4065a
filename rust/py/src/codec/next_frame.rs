//! `_core.next_frame`: where one message ends and the next begins, for tests and tools.

use protosocket_core::wire::framing::Step;
use pyo3::prelude::*;

use crate::codec::framing;

/// What unread bytes begin with.
#[pyclass(
    eq,
    eq_int,
    hash,
    frozen,
    module = "protosocket._core",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameStep {
    Frame,
    Incomplete,
    TooLarge,
    Invalid,
}

/// The message at the start of `unread`, of at most `limit` payload bytes: (FRAME, header, total) in bytes,
/// (INCOMPLETE, bytes needed in all, 0), (TOO_LARGE, its bytes, 0) or (INVALID, 0, 0).
#[pyfunction]
#[pyo3(signature = (kind, unread, limit, /))]
pub fn next_frame(kind: &str, unread: &[u8], limit: usize) -> PyResult<(FrameStep, u64, u64)> {
    Ok(match framing(kind)?.next(unread, limit) {
        Step::Frame { header, total } => (FrameStep::Frame, header as u64, total as u64),
        Step::Incomplete { need } => (FrameStep::Incomplete, need as u64, 0),
        Step::TooLarge { size } => (FrameStep::TooLarge, size, 0),
        Step::Invalid(_) => (FrameStep::Invalid, 0, 0),
    })
}
