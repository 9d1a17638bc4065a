//! The RPC protocol: what a control code means for a call, as state machines without I/O.
//!
//! A machine is told of the header of every message that arrives and says what that means, as an `Event`; it gives the
//! headers of the messages to send. It never sees a message, a socket or a clock: what waits for an answer and what
//! handles a request are types of whoever uses it, and the time is an argument. Whatever a machine lets go of it gives
//! back, so that nothing of its user's is dropped while the machine is borrowed.
//!
//! The protocol is that of the Rust crate `protosocket-rpc`: a client chooses the ids; Normal carries a request, a
//! response or an item, End completes a stream, and Cancel, like any code that is not known, ends a call from either
//! side. An answer to an id that is not known is dropped: a Cancel may have crossed it.
//!
//! With *exchanges*, the wire of `protosocket.grpc`, a call may have more than one message each way, an End carries a
//! message, messages with the id 0 are about the connection, and the peer says of every call when it has ended.

use std::fmt;

use crate::wire::header::{Control, Header};

pub mod calls;
pub mod client;
mod deadline_heap;
#[cfg(test)]
mod pair;
pub mod relay;
pub mod server;

/// The id of messages about the connection, with exchanges.
const CONNECTION: u64 = 0;

/// What a peer may not do: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It sent more of a streamed answer than its window allows.
    Overrun {
        /// The call's id.
        id: u64,
    },
    /// An answer cannot carry the id that it chose.
    LargeId {
        /// The id.
        id: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Overrun { id } => write!(formatter, "it overran the window of call {id}"),
            Violation::LargeId { id } => write!(formatter, "the answer to it cannot carry its id, {id}"),
        }
    }
}

/// The header of a message about the connection.
pub fn about_connection() -> Header {
    normal(CONNECTION)
}

/// Whether a message from a client with this header may begin a call.
pub fn may_begin(header: Header) -> bool {
    header.control == Control::Normal
}

/// The header of a response, or of an item of a stream.
#[inline]
pub fn message(id: u64) -> Header {
    normal(id)
}

/// The header that tells a client that a call has no answer.
pub fn refusal(id: u64) -> Header {
    cancel(id)
}

#[inline]
fn normal(id: u64) -> Header {
    Header {
        id,
        control: Control::Normal,
    }
}

fn cancel(id: u64) -> Header {
    Header {
        id,
        control: Control::Cancel,
    }
}

fn end(id: u64) -> Header {
    Header {
        id,
        control: Control::End,
    }
}
