//! Any bytes as a protobuf message: its fields, written again from the last to the first, are read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protosocket_core::wire::protobuf_reader::{MAX_DEPTH, Reader, from_zigzag, wire};
use protosocket_core::wire::protobuf_writer::{Key, Writer, to_zigzag};

/// A field: its number, its wire type and its value; what a group holds is not looked into.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Number(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

fn fields(message: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut reader = Reader::new(message);
    let mut fields = Vec::new();
    while !reader.is_empty() {
        let (number, wire_type) = reader.key().ok()?;
        let value = match wire_type {
            wire::VARINT => Value::Number(reader.varint().ok()?),
            wire::FIXED64 => Value::Fixed64(reader.fixed64().ok()?),
            wire::BYTES => Value::Bytes(reader.bytes().ok()?),
            wire::FIXED32 => Value::Fixed32(reader.fixed32().ok()?),
            _ => {
                reader.skip(number, wire_type, MAX_DEPTH).ok()?;
                continue;
            }
        };
        fields.push((number, value));
    }
    Some(fields)
}

fuzz_target!(|input: &[u8]| {
    let Some(found) = fields(input) else {
        return;
    };
    let mut writer = Writer::new();
    for (number, value) in found.iter().rev() {
        let wire_type = match value {
            Value::Number(number) => {
                assert_eq!(to_zigzag(from_zigzag(*number)), *number);
                writer.varint(*number);
                wire::VARINT
            }
            Value::Fixed64(number) => {
                writer.fixed64(*number);
                wire::FIXED64
            }
            Value::Fixed32(number) => {
                writer.fixed32(*number);
                wire::FIXED32
            }
            Value::Bytes(bytes) => {
                writer.bytes(bytes);
                wire::BYTES
            }
        };
        writer.key(&Key::new(*number, wire_type));
    }
    assert_eq!(writer.length(), writer.written().len());
    assert_eq!(fields(writer.written()), Some(found));
});
