//! Where a message carries its id and its control code, and how both are read and put there.
//!
//! The RPC layer adds nothing to the wire: id and control code are fields of the user's own
//! message. This module finds them in the encoded message and places them in it, so that no
//! message object has to be built, or touched, for it.

use crate::framing::Framing;
use crate::{messagepack, protobuf};

/// What a message asks of the peer's RPC layer (`protosocket-rpc`, `ProtosocketControlCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// An ordinary request, response or item.
    Normal = 0,
    /// Stop the RPC with this id.
    Cancel = 1,
    /// The stream with this id is complete.
    End = 2,
}

impl Control {
    /// The control code for a number on the wire: an unknown one is a Cancel.
    #[inline]
    pub fn from_wire(value: u64) -> Self {
        match value {
            0 => Control::Normal,
            2 => Control::End,
            _ => Control::Cancel,
        }
    }
}

/// The id and the control code of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client, the same in every message of the answer.
    pub id: u64,
    /// What the message is.
    pub control: Control,
}

/// A message whose fields cannot be walked, or whose id or control code is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Where one of the two fields stands in an encoded message; empty where it would be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub start: usize,
    pub end: usize,
}

/// A walk's result: the header and where its fields stand.
#[derive(Clone, Copy, Debug)]
pub struct Located {
    /// What the fields say.
    pub header: Header,
    pub(crate) id: Place,
    pub(crate) control: Place,
    /// Each field stands at most once and where a canonical encoder puts it.
    pub(crate) canonical: bool,
}

/// Which fields of a message are its id and its control code.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Top-level fields of a protobuf message.
    Protobuf(protobuf::Fields),
    /// Elements of a MessagePack array, or values of a MessagePack map.
    MessagePack(messagepack::Fields),
}

impl Layout {
    /// The id and control fields of a protobuf message.
    pub fn protobuf(id: protobuf::Field, control: protobuf::Field) -> Self {
        Layout::Protobuf(protobuf::Fields { id, control })
    }

    /// The indexes of id and control in a message that is a MessagePack array.
    pub fn msgpack_array(id: usize, control: usize) -> Self {
        Layout::MessagePack(messagepack::Fields::Array { id, control })
    }

    /// The keys of id and control in a message that is a MessagePack map.
    pub fn msgpack_map(id: &str, control: &str) -> Self {
        Layout::MessagePack(messagepack::Fields::Map {
            id: id.into(),
            control: control.into(),
        })
    }

    /// Reads id and control code of the encoded `message`.
    #[inline]
    pub fn scan(&self, message: &[u8]) -> Result<Header, Malformed> {
        self.locate(message).map(|located| located.header)
    }

    /// Reads id and control code and remembers where they stand, for [`Layout::frame_located`].
    #[inline]
    pub fn locate(&self, message: &[u8]) -> Result<Located, Malformed> {
        match self {
            Layout::Protobuf(fields) => fields.locate(message),
            Layout::MessagePack(fields) => fields.locate(message),
        }
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

    /// The same as [`Layout::frame`] for a message that was walked before.
    #[inline]
    pub fn frame_located(
        &self,
        framing: Framing,
        message: &[u8],
        located: &Located,
        header: Header,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.put_located(Some(framing), message, located, header, output)
    }

    #[inline]
    fn put(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        header: Header,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let located = self.locate(message)?;
        self.put_located(framing, message, &located, header, output)
    }

    #[inline]
    fn put_located(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        located: &Located,
        header: Header,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        if !located.canonical {
            let tidy = match self {
                Layout::Protobuf(fields) => fields.without_header(message)?,
                Layout::MessagePack(fields) => fields.with_header(message)?,
            };
            let located = self.locate(&tidy)?;
            debug_assert!(located.canonical);
            self.put_pieces(framing, &tidy, &located, header, output);
        } else {
            self.put_pieces(framing, message, located, header, output);
        }
        Ok(())
    }

    #[inline]
    fn put_pieces(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        located: &Located,
        header: Header,
        output: &mut Vec<u8>,
    ) {
        let (id, control) = match self {
            Layout::Protobuf(fields) => (
                fields.id.encode(header.id),
                fields.control.encode(header.control as u64),
            ),
            Layout::MessagePack(_) => (
                messagepack::encode(header.id),
                messagepack::encode(header.control as u64),
            ),
        };
        let id = (located.id, id);
        let control = (located.control, control);
        let id_first = match self {
            Layout::Protobuf(fields) => fields.id.number < fields.control.number,
            Layout::MessagePack(_) => id.0.start < control.0.start,
        };
        let (first, second) = if id_first { (id, control) } else { (control, id) };
        if let Some(framing) = framing {
            let replaced = (first.0.end - first.0.start) + (second.0.end - second.0.start);
            framing.prefix(message.len() - replaced + first.1.len() + second.1.len(), output);
        }
        output.extend_from_slice(&message[..first.0.start]);
        output.extend_from_slice(first.1.as_slice());
        output.extend_from_slice(&message[first.0.end..second.0.start]);
        output.extend_from_slice(second.1.as_slice());
        output.extend_from_slice(&message[second.0.end..]);
    }
}

/// A few bytes without a heap: an encoded header field.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    bytes: [u8; 20],
    length: u8,
}

impl Piece {
    pub fn new() -> Self {
        Piece {
            bytes: [0; 20],
            length: 0,
        }
    }

    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.length)] = byte;
        self.length += 1;
    }

    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
    }

    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
