//! The table of header layouts: the ways in which a message carries its id and its control code.
//!
//! A new one is a file here that implements [`HeaderCodec`], and two lines in this one.

mod codec;
mod messagepack;
mod parameters;
mod protobuf;
#[macro_use]
mod table;

use std::ops::Range;

pub use codec::{HeaderCodec, Located};
pub use parameters::{Parameter, Parameters};

use super::framing::Framing;
use super::header::{Control, Header};
use super::malformed::Malformed;

layouts! {
    /// Top-level fields of a protobuf message: `id`, `control` (numbers), `id_type`, `control_type` (uint64 if left out).
    "protobuf" => Protobuf(protobuf::Fields),
    /// Elements of a MessagePack array, whose indexes are `id` and `control`, or values of a map, where these are keys.
    "messagepack" => MessagePack(messagepack::Fields),
}

impl Layout {
    /// Reads id and control code of the encoded `message`.
    #[inline]
    pub fn scan(&self, message: &[u8]) -> Result<Header, Malformed> {
        self.locate(message).map(|located| located.header)
    }

    /// Appends `message` to `output` with `id` and `control` in it.
    pub fn splice(
        &self,
        message: &[u8],
        id: u64,
        control: Control,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.put(None, message, Header { id, control }, output)
    }

    /// Appends `message` to `output` with `id` and `control` in it, framed for the wire.
    #[inline]
    pub fn frame(
        &self,
        framing: Framing,
        message: &[u8],
        id: u64,
        control: Control,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.put(Some(framing), message, Header { id, control }, output)
    }
}

#[cfg(test)]
mod tests;
