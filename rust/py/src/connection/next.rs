//! What a look at the received bytes gives.

use pyo3::PyErr;

/// The next thing in the receive buffer.
pub enum Next {
    /// A payload at `unread()[header..total]`.
    Frame {
        header: usize,
        total: usize,
    },
    Wait,
    BadInput(BadInput),
}

/// Why a connection has to end.
pub enum BadInput {
    Invalid(String),
    /// It has to end if the first message, which begins like another protocol, does not come.
    Doubtful(&'static str),
    /// The codec raised this of a message.
    Undecodable(PyErr),
    TooLarge(u64),
}
