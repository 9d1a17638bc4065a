//! What a connection may use, and what it counts.

use pyo3::prelude::*;

/// The limits of a connection.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The largest message accepted, bytes.
    pub receive: usize,
    /// Messages queued for writing before senders wait.
    pub send_messages: usize,
    /// Bytes queued for writing before senders wait.
    pub send_bytes: usize,
    /// Messages handled in one go before other connections get a turn.
    pub read_messages: usize,
}

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
