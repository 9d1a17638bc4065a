//! The protocol core: bytes in, events and bytes out. No Python, no sockets, no clock.

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
