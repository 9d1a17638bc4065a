//! The protocol core: what messages are on the wire, and what they mean for the calls of a connection. Bytes and headers
//! in, events and bytes out; no Python and no sockets, and the time is an argument.

pub mod cache;
pub mod flush;
pub mod foreign;
pub mod polling;
pub mod reading_on;
pub mod receive;
pub mod rpc;
pub mod wire;

/// The old place of the header and its layouts, while `rpc/server.rs` of the binding looks there.
pub mod header {
    pub use crate::wire::Malformed;
    pub use crate::wire::header::{Control, Header};
    pub use crate::wire::layouts::Layout;
}
