//! The crate's decoders by encoding.

use protosocket::Decoder;
use protosocket_messagepack::MessagePackDecoder;
use protosocket_prost::ProstDecoder;

use crate::feed::Decode;
use crate::messages::Request;

/// A new connection's decoder: 0 is protobuf, everything else MessagePack.
pub fn decoder(encoding: u8) -> Decode {
    if encoding == 0 {
        let mut decoder = ProstDecoder::<Request>::default();
        Box::new(move |bytes| decoder.decode(bytes))
    } else {
        let mut decoder = MessagePackDecoder::<Request>::default();
        Box::new(move |bytes| decoder.decode(bytes))
    }
}
