//! Vectors of the decoders: byte strings, whole, broken and hostile, and what the crates answer to them.

use std::fmt::Write as _;

use protosocket::{Decoder, DeserializeError};
use protosocket_messagepack::MessagePackDecoder;
use protosocket_prost::ProstDecoder;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::messagepack::frame;
use crate::messages::{First, Fixed, Lenient, Middle, Sample, Simple};
use crate::vector::{File, bytes, control};

/// The file of decoder vectors.
pub fn vectors() -> File {
    let mut vectors = protobuf_prefixes();
    vectors.extend(protobuf_messages());
    vectors.extend(protobuf_fixed());
    vectors.extend(messagepack_prefixes());
    vectors.extend(messagepack_arrays());
    vectors.extend(messagepack_maps());
    File {
        name: "decoding",
        about: "Bytes, and what the crates' decoders answer: message (with the bytes it took), incomplete \
                (with the bytes it needs in all) or invalid.",
        vectors,
    }
}

/// Bytes from hex with spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    assert_eq!(digits.len() % 2, 0, "{text}");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn answer<S: Sample>(
    name: &str,
    encoding: &str,
    input: &[u8],
    mut decoder: impl Decoder<Message = S>,
) -> Value {
    let mut vector = json!({
        "name": name,
        "encoding": encoding,
        "message": S::NAME,
        "bytes": bytes(input),
    });
    vector["answer"] = match decoder.decode(input) {
        Ok((length, message)) => json!({
            "message": length,
            "id": message.message_id(),
            "control": control(message.control_code()),
            "fields": message.fields(),
        }),
        Err(DeserializeError::IncompleteBuffer { next_message_size }) => {
            json!({"incomplete": next_message_size})
        }
        Err(DeserializeError::InvalidBuffer) => json!("invalid"),
        Err(DeserializeError::SkipMessage { distance }) => json!({"skip": distance}),
    };
    vector
}

fn prost<S: Sample + prost::Message>(name: &str, input: &[u8]) -> Value {
    answer(name, "protobuf", input, ProstDecoder::<S>::default())
}

fn pack<S: Sample + DeserializeOwned>(name: &str, input: &[u8]) -> Value {
    answer(name, "messagepack", input, MessagePackDecoder::<S>::default())
}

/// A payload behind a varint length.
fn delimited(payload: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    prost::encode_length_delimiter(payload.len(), &mut framed).expect("a vector grows");
    framed.extend_from_slice(payload);
    framed
}

fn protobuf_prefixes() -> Vec<Value> {
    [
        ("nothing yet", ""),
        ("an empty message", "00"),
        ("an empty message, then another", "00 00"),
        ("a prefix alone", "04"),
        ("half a message", "04 08 01"),
        ("all but a byte", "04 08 01 10"),
        ("a whole message", "04 08 01 10 02"),
        ("a message and the start of the next", "04 08 01 10 02 04 08"),
        ("half a prefix", "80"),
        ("nine bytes of a prefix", "ff ff ff ff ff ff ff ff ff"),
        ("2 MiB declared", "80 80 80 01"),
        ("2 MiB declared, one byte of it there", "80 80 80 01 08"),
        ("4 GiB declared", "80 80 80 80 10"),
        ("2^62 bytes declared", "80 80 80 80 80 80 80 80 40"),
        ("a length in more bytes than it needs", "84 00 08 01 10 02"),
        ("length 0 in ten bytes", "80 80 80 80 80 80 80 80 80 00"),
        (
            "length 4 in ten bytes",
            "84 80 80 80 80 80 80 80 80 00 08 01 10 02",
        ),
        ("a length beyond 64 bits", "ff ff ff ff ff ff ff ff ff 02"),
        ("a length of eleven bytes", "80 80 80 80 80 80 80 80 80 80 01"),
        ("ten continuation bytes", "ff ff ff ff ff ff ff ff ff ff"),
    ]
    .map(|(name, input)| prost::<Simple>(&format!("prefix: {name}"), &hex(input)))
    .to_vec()
}

fn protobuf_messages() -> Vec<Value> {
    let mut vectors = [
        ("code before id", "10 02 08 05"),
        ("body before both", "1a 01 61 10 02 08 05"),
        ("id twice, the last wins", "08 01 08 02"),
        ("code twice, the last wins", "10 02 10 00"),
        ("explicit zeros", "08 00 10 00"),
        ("id in more bytes than it needs", "08 85 80 00"),
        ("id 2^64-1", "08 ff ff ff ff ff ff ff ff ff 01"),
        ("id beyond 64 bits", "08 ff ff ff ff ff ff ff ff ff 02"),
        ("id of eleven bytes", "08 80 80 80 80 80 80 80 80 80 80 01"),
        ("code 3", "10 03"),
        ("code 7", "10 07"),
        ("code 255", "10 ff 01"),
        ("code 256", "10 80 02"),
        ("code 258", "10 82 02"),
        ("code 2^32", "10 80 80 80 80 10"),
        ("unknown varint", "20 96 01 08 05"),
        ("unknown fixed64", "21 01 02 03 04 05 06 07 08 08 05"),
        ("unknown fixed32", "25 01 02 03 04 08 05"),
        ("unknown bytes", "22 03 61 62 63 08 05"),
        ("unknown group", "23 08 09 10 01 24 08 05"),
        ("unknown empty group", "23 24 08 05"),
        ("group in a group", "23 2b 08 07 2c 24 08 05"),
        ("group with a high number", "83 7d 08 07 84 7d 08 05"),
        ("group without its end", "08 05 23 08 01"),
        ("group with another's end", "08 05 23 2c"),
        ("groups that cross", "23 2b 24 2c 08 05"),
        ("an end without a group", "08 05 24"),
        ("truncated varint", "08 80"),
        ("truncated key", "08 05 80"),
        ("key without a value", "08"),
        ("truncated fixed64", "21 01 02 03 04 05 06 07"),
        ("truncated fixed32", "25 01 02 03"),
        ("truncated bytes", "22 03 61 62"),
        ("bytes without a length", "22"),
        (
            "bytes longer than 64 bits count",
            "22 ff ff ff ff ff ff ff ff ff 01",
        ),
        ("field number 0", "00 00"),
        ("field number 0, bytes", "08 05 02 00"),
        ("field number 0 in a group", "23 00 01 24"),
        ("wire type 6", "26"),
        ("wire type 7", "27 00"),
        ("the highest field number", "f8 ff ff ff 0f 01 08 05"),
        ("a key beyond 32 bits", "88 80 80 80 10 05"),
        ("a key in more bytes than it needs", "88 00 05"),
        ("a key in ten bytes", "88 80 80 80 80 80 80 80 80 00 05"),
        ("id as fixed64", "09 05 00 00 00 00 00 00 00"),
        ("id as fixed32", "0d 05 00 00 00"),
        ("id as bytes", "0a 01 05"),
        ("id as a group", "0b 0c"),
        ("id as an end of group", "0c"),
        ("code as fixed32", "15 01 00 00 00"),
        ("code as bytes", "12 01 01"),
    ]
    .map(|(name, input)| prost::<Simple>(&format!("message: {name}"), &delimited(&hex(input))))
    .to_vec();
    for depth in [50, 99, 200] {
        let payload = [[0x23].repeat(depth), [0x24].repeat(depth), vec![0x08, 0x05]].concat();
        let name = format!("message: {depth} groups in each other");
        vectors.push(prost::<Simple>(&name, &delimited(&payload)));
    }
    vectors
}

fn protobuf_fixed() -> Vec<Value> {
    [
        ("id and code", "09 05 00 00 00 00 00 00 00 15 02 00 00 00"),
        ("code 256", "15 00 01 00 00"),
        ("id as varint", "08 05"),
        ("code as varint", "10 01"),
        ("truncated id", "09 05 00 00 00 00 00 00"),
        ("truncated code", "15 01 00 00"),
    ]
    .map(|(name, input)| prost::<Fixed>(&format!("fixed: {name}"), &delimited(&hex(input))))
    .to_vec()
}

fn messagepack_prefixes() -> Vec<Value> {
    [
        ("nothing yet", ""),
        ("one byte of a prefix", "ce"),
        ("four bytes of a prefix", "ce 00 00 00"),
        ("a prefix alone", "ce 00 00 00 04"),
        ("half a message", "ce 00 00 00 04 93 05"),
        ("a whole message", "ce 00 00 00 04 93 05 02 a0"),
        (
            "a message and the start of the next",
            "ce 00 00 00 04 93 05 02 a0 ce 00",
        ),
        ("2 GiB declared", "ce 80 00 00 00 93"),
        ("one wrong byte", "04"),
        ("a fixint prefix", "04 93 05 02 a0"),
        ("an 8-bit prefix", "cc 04 93 05 02 a0"),
        ("a 16-bit prefix", "cd 00 04 93 05 02 a0"),
        ("a 64-bit prefix", "cf 00 00 00 00 00 00 00 04 93 05 02 a0"),
        ("a signed 32-bit prefix", "d2 00 00 00 04 93 05 02 a0"),
        ("a nil prefix", "c0 00 00 00 00 00"),
        ("an empty message", "ce 00 00 00 00"),
        (
            "an empty message before another",
            "ce 00 00 00 00 ce 00 00 00 04 93 05 02 a0",
        ),
        ("bytes behind the value", "ce 00 00 00 06 93 05 02 a0 c0 c0"),
        ("a value longer than declared", "ce 00 00 00 03 93 05 02 a0"),
    ]
    .map(|(name, input)| pack::<First>(&format!("prefix: {name}"), &hex(input)))
    .to_vec()
}

fn messagepack_arrays() -> Vec<Value> {
    let mut vectors = [
        ("array of 16-bit length", "dc 00 03 05 02 a0"),
        ("array of 32-bit length", "dd 00 00 00 03 05 02 a0"),
        ("id in 8 bits", "93 cc 05 02 a0"),
        ("id in 16 bits", "93 cd 00 05 02 a0"),
        ("id in 32 bits", "93 ce 00 00 00 05 02 a0"),
        ("id in 64 bits", "93 cf 00 00 00 00 00 00 00 05 02 a0"),
        ("id in signed 8 bits", "93 d0 05 02 a0"),
        ("id in signed 16 bits", "93 d1 00 05 02 a0"),
        ("id in signed 32 bits", "93 d2 00 00 00 05 02 a0"),
        ("id in signed 64 bits", "93 d3 00 00 00 00 00 00 00 05 02 a0"),
        ("id -1", "93 ff 02 a0"),
        ("id -1 in signed 8 bits", "93 d0 ff 02 a0"),
        ("id -1 in signed 64 bits", "93 d3 ff ff ff ff ff ff ff ff 02 a0"),
        ("id as a float", "93 ca 40 a0 00 00 02 a0"),
        ("id as a double", "93 cb 40 14 00 00 00 00 00 00 02 a0"),
        ("id as text", "93 a1 35 02 a0"),
        ("id as nil", "93 c0 02 a0"),
        ("id as a boolean", "93 c3 02 a0"),
        ("id as an array", "93 91 05 02 a0"),
        ("code as nil", "93 05 c0 a0"),
        ("code 7", "93 05 07 a0"),
        ("code 255", "93 05 cc ff a0"),
        ("code 256", "93 05 cd 01 00 a0"),
        ("the reserved byte as id", "93 c1 02 a0"),
        ("too short for the code", "91 05"),
        ("too short for the body", "92 05 02"),
        ("empty array", "90"),
        ("one element more", "94 05 02 a0 c0"),
        ("fewer elements than declared", "93 05 02"),
        ("truncated id", "93 cf 00 00"),
        ("truncated body", "93 05 02 a3 61"),
        ("a number instead of the struct", "05"),
        ("nil instead of the struct", "c0"),
        ("text instead of the struct", "a1 61"),
    ]
    .map(|(name, input)| pack::<First>(&format!("array: {name}"), &frame(&hex(input))))
    .to_vec();
    let middle = [
        (
            "code and id in the middle",
            "95 92 a1 61 a1 62 02 cb 3f e0 00 00 00 00 00 00 cd 01 00 c0",
        ),
        (
            "a whole inner struct",
            "95 90 00 ca 3f 80 00 00 05 95 90 02 ca 00 00 00 00 4d c0",
        ),
        ("too short for the id", "93 90 00 cb 00 00 00 00 00 00 00 00"),
        ("id as text", "95 90 00 ca 3f 80 00 00 a1 35 c0"),
    ];
    vectors.extend(
        middle.map(|(name, input)| pack::<Middle>(&format!("array, middle: {name}"), &frame(&hex(input)))),
    );
    vectors
}

/// A MessagePack text of fewer than 32 bytes, as hex.
fn text(value: &str) -> String {
    let mut hex = format!("{:02x}", 0xa0 | value.len());
    for byte in value.bytes() {
        write!(hex, "{byte:02x}").expect("a string grows");
    }
    hex
}

fn messagepack_maps() -> Vec<Value> {
    let (id, code, body, other) = (text("id"), text("code"), text("body"), text("other"));
    let cases = [
        ("in order", format!("83 {id} 05 {code} 02 {body} a0")),
        ("in another order", format!("83 {body} a0 {code} 02 {id} 05")),
        (
            "map of 16-bit length",
            format!("de 00 03 {id} 05 {code} 02 {body} a0"),
        ),
        (
            "map of 32-bit length",
            format!("df 00 00 00 03 {id} 05 {code} 02 {body} a0"),
        ),
        (
            "key of 8-bit length",
            "83 d9 02 69 64 05 d9 04 63 6f 64 65 02 a4 62 6f 64 79 a0".into(),
        ),
        (
            "an unknown key",
            format!("84 {other} c0 {id} 05 {code} 02 {body} a0"),
        ),
        (
            "an unknown key with nested values",
            format!("84 {other} 82 {id} 93 01 02 90 a1 78 81 {code} c3 {id} 05 {code} 02 {body} a0"),
        ),
        (
            "unknown values of every kind",
            format!(
                "82 {other} dc 00 0c c2 c4 01 61 c5 00 01 61 c6 00 00 00 01 61 d4 01 61 d5 01 61 61 c7 01 05 61 \
                 d9 01 61 da 00 01 61 db 00 00 00 01 61 ca 00 00 00 00 e0 {id} 05"
            ),
        ),
        (
            "unknown extension values",
            format!(
                "82 {other} 96 d6 ff 00 00 00 00 d7 ff 00 00 00 00 00 00 00 00 d8 01 {} c8 00 01 05 61 \
                 c9 00 00 00 01 05 61 de 00 00 {id} 05",
                "00".repeat(16)
            ),
        ),
        ("id missing", format!("82 {code} 02 {body} a0")),
        ("code missing", format!("82 {id} 05 {body} a0")),
        ("empty map", "80".into()),
        ("id twice", format!("82 {id} 05 {id} 06")),
        ("id as nil", format!("81 {id} c0")),
        ("id as text", format!("81 {id} a1 35")),
        ("id negative", format!("81 {id} ff")),
        ("code 256", format!("82 {id} 05 {code} cd 01 00")),
        ("keys are binary", "82 c4 02 69 64 05 c4 04 63 6f 64 65 02".into()),
        ("keys are field indexes", "82 00 05 01 02".into()),
        ("a nil key", format!("82 c0 01 {id} 05")),
        ("a key that is an array", format!("82 90 01 {id} 05")),
        ("fewer entries than declared", format!("82 {id} 05")),
        ("a key without a value", format!("81 {id}")),
        ("truncated key", "81 a2 69".into()),
        ("bytes behind the map", format!("81 {id} 05 c0")),
        ("an array", "93 05 02 a0".into()),
    ];
    let cases = cases.iter().map(|(name, input)| (*name, hex(input)));
    cases
        .map(|(name, input)| pack::<Lenient>(&format!("map: {name}"), &frame(&input)))
        .collect()
}
