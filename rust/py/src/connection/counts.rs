//! What a connection counts.

use pyo3::prelude::*;

/// Counts of one connection since it was made, under the names of Python's `ConnectionStatistics`.
#[derive(Clone, Copy, Default, IntoPyObject)]
pub struct Counts {
    pub messages_sent: u64,
    pub messages_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub reads: u64,
    pub writes: u64,
    pub read_pauses: u64,
    pub write_stalls: u64,
}
