//! The protocol core: what messages are on the wire, and what they mean for the calls of a connection. Bytes and headers
//! in, events and bytes out; no Python and no sockets, and the time is an argument.

pub mod cache;
pub mod connection;
pub mod rpc;
pub mod wire;
