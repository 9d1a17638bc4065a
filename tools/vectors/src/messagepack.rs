//! Vectors of the sample MessagePack messages: as the crate writes them (arrays), and as maps, which it reads.

use protosocket::{Decoder as _, Serialize as _};
use protosocket_messagepack::{MessagePackDecoder, MessagePackSerializer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::messages::{First, Lenient, Middle, Sample, every};
use crate::vector::{File, message};

/// The file of sample MessagePack messages.
pub fn vectors() -> File {
    let mut vectors = Vec::new();
    vectors.extend(of::<First>());
    vectors.extend(of::<Middle>());
    vectors.extend(of::<Lenient>());
    File {
        name: "messagepack",
        about: "MessagePack structs: form array is what the crate writes, form map what it also reads.",
        vectors,
    }
}

fn of<S: Sample + Serialize + DeserializeOwned>() -> Vec<Value> {
    let mut vectors = Vec::new();
    for (name, value) in every::<S>() {
        let mut array = Vec::new();
        MessagePackSerializer::default().serialize_into_buffer(value.clone(), &mut array);
        vectors.push(vector(&name, "array", &value, &array));
        let map = frame(&rmp_serde::to_vec_named(&value).expect("structs are encodable"));
        vectors.push(vector(&name, "map", &value, &map));
    }
    vectors
}

fn vector<S: Sample + DeserializeOwned>(name: &str, form: &str, value: &S, framed: &[u8]) -> Value {
    let decoded = MessagePackDecoder::<S>::default().decode(framed);
    let (length, read) = decoded.expect("the crate reads both forms");
    assert_eq!((length, read.fields()), (framed.len(), value.fields()));
    let name = format!("{name}, {form}");
    let mut vector = message(&name, "messagepack", S::NAME, value, value.fields(), framed);
    vector["form"] = json!(form);
    vector
}

/// A payload behind the crate's prefix.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("vectors are small");
    [&[0xce], length.to_be_bytes().as_slice(), payload].concat()
}
