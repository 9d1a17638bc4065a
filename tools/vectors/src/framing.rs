//! Vectors of the framing alone: payloads of every length at which the prefix changes its form.

use bytes::{Buf, BufMut};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType};
use protosocket::Serialize as _;
use protosocket_messagepack::MessagePackSerializer;
use protosocket_prost::ProstSerializer;
use serde_json::{Value, json};

use crate::vector::{File, bytes};

/// Message lengths around the steps of the varint.
const LENGTHS: [usize; 9] = [
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    (1 << 21) - 1,
    1 << 21,
    (1 << 21) + 1,
];

/// A protobuf message that encodes to exactly these bytes, so that every length can be framed.
#[derive(Debug, Default)]
struct Raw(Vec<u8>);

impl prost::Message for Raw {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// A MessagePack message that is one binary string.
#[derive(Debug)]
struct Binary(Vec<u8>);

impl serde::Serialize for Binary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// The file of framing vectors.
pub fn vectors() -> File {
    let mut vectors = Vec::new();
    for length in LENGTHS {
        let payload = vec![0x61; length];
        let mut framed = Vec::new();
        ProstSerializer::default().serialize_into_buffer(Raw(payload.clone()), &mut framed);
        vectors.push(vector("protobuf", &payload, &framed));
    }
    let mut framed = Vec::new();
    MessagePackSerializer::default().serialize_into_buffer((), &mut framed);
    vectors.push(vector("messagepack", &[0xc0], &framed));
    for length in LENGTHS.into_iter().filter(|length| *length > 1) {
        // A binary string's own header takes 2, 3 or 5 bytes of the message.
        let header = match length {
            ..258 => 2,
            258..65_539 => 3,
            _ => 5,
        };
        let message = Binary(vec![0x61; length - header]);
        let payload = rmp_serde::to_vec(&message).expect("bytes are encodable");
        assert_eq!(payload.len(), length);
        let mut framed = Vec::new();
        MessagePackSerializer::default().serialize_into_buffer(message, &mut framed);
        vectors.push(vector("messagepack", &payload, &framed));
    }
    File {
        name: "framing",
        about: "Encoded messages of many lengths, as the crates' serialisers frame them.",
        vectors,
    }
}

fn vector(encoding: &str, payload: &[u8], framed: &[u8]) -> Value {
    json!({
        "name": format!("{encoding}, {} bytes", payload.len()),
        "encoding": encoding,
        "payload": bytes(payload),
        "framed": bytes(framed),
    })
}
