//! The protocol core: what messages are on the wire, and what they mean for the calls of a connection. Bytes and headers
//! in, events and bytes out; no Python and no sockets, and the time is an argument.

pub mod cache_commands;
pub mod collections;
pub mod crowding;
pub mod deadlines;
pub mod engine;
pub mod flush;
pub mod foreign;
pub mod framing;
pub mod header;
pub mod light;
pub mod messagepack;
pub mod messagepack_keys;
pub mod polling;
pub mod protobuf;
pub mod reading_on;
pub mod receive;
pub mod relay;
pub mod rpc;
pub mod table;
pub mod varint;
pub mod wire_reader;
pub mod wire_writer;
