//! Messages as bytes: where one ends and the next begins, how protobuf and MessagePack are read, and where a message
//! carries its header.

pub mod framing;
pub mod hash_flooding;
pub mod header;
pub mod layouts;
pub mod light;
mod malformed;
pub mod messagepack;
pub mod messagepack_keys;
mod piece;
pub mod protobuf;
pub mod protobuf_reader;
pub mod protobuf_writer;
pub mod sniff;
pub mod varint;

pub use malformed::Malformed;
pub use piece::Piece;
