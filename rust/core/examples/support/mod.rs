//! What both programs here give the core: messages as the cache sends them, and bytes as a socket does.

use protosocket_core::connection::receive_buffer::ReceiveBuffer;
use protosocket_core::rpc::relay::key_path::KeyPath;
use protosocket_core::wire::layouts::{Layout, Parameters};
use protosocket_core::wire::varint;

/// A field of bytes, whose number is less than 16.
pub fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint::write(content.len() as u64, &mut field);
    field.extend_from_slice(content);
    field
}

/// Where a CacheCommand has its id and its control code.
pub fn cache_layout() -> Layout {
    let numbers = Parameters::from([("id", 2), ("control", 3)]);
    Layout::new("protobuf", numbers).expect("they are field numbers")
}

/// Where a CacheCommand has its key.
pub fn cache_path() -> KeyPath {
    KeyPath {
        command: 10,
        keyed: vec![2, 3, 4],
        others: vec![1],
        key: 2,
        text: 1,
    }
}

/// Receives `bytes`, in as many reads as the buffer makes of them.
pub fn arrive(buffer: &mut ReceiveBuffer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = buffer.writable();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        bytes = &bytes[count..];
    }
}
