//! What a connection may use.

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
