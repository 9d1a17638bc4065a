//! The crate's decoders by encoding.

use protosocket::Deserializer;
use protosocket_messagepack::ProtosocketMessagePackDeserializer;
use protosocket_prost::ProstSerializer;

use crate::feed::Decode;
use crate::messages::{Request, Response};

/// A new connection's decoder: 0 is protobuf, everything else MessagePack.
pub fn decoder(encoding: u8) -> Decode {
    if encoding == 0 {
        let mut decoder = ProstSerializer::<Request, Response>::default();
        Box::new(move |bytes| decoder.decode(bytes))
    } else {
        let mut decoder = ProtosocketMessagePackDeserializer::<Request>::default();
        Box::new(move |bytes| decoder.decode(bytes))
    }
}
