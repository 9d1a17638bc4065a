//! Vectors of the sample protobuf messages, through the crate's prost serialiser.

use protosocket::Serialize as _;
use protosocket_prost::ProstSerializer;
use serde_json::Value;

use crate::messages::{Between, Fixed, High, Reversed, Sample, Simple, Spanning, every};
use crate::vector::{File, message};

/// The file of sample protobuf messages.
pub fn vectors() -> File {
    let mut vectors = Vec::new();
    vectors.extend(of::<Simple>());
    vectors.extend(of::<High>());
    vectors.extend(of::<Between>());
    vectors.extend(of::<Fixed>());
    vectors.extend(of::<Reversed>());
    vectors.extend(of::<Spanning>());
    File {
        name: "protobuf",
        about: "Protobuf messages with their id and control code in many places.",
        vectors,
    }
}

fn of<S: Sample + prost::Message>() -> Vec<Value> {
    let vector = |(name, value): (String, S)| {
        let framed = frame(value.clone());
        message(&name, "protobuf", S::NAME, &value, value.fields(), &framed)
    };
    every::<S>().into_iter().map(vector).collect()
}

/// A message as the crate puts it on the wire.
pub fn frame<M: prost::Message + Default + std::fmt::Debug>(value: M) -> Vec<u8> {
    let mut framed = Vec::new();
    ProstSerializer::default().serialize_into_buffer(value, &mut framed);
    framed
}
