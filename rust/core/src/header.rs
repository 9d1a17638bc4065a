//! Where a message carries its id and its control code, and how both are read and put there.
//!
//! The RPC layer adds nothing to the wire: id and control code are fields of the user's own
//! message. This module finds them in the encoded message and places them in it, so that no
//! message object has to be built, or touched, for it.

use std::ops::Range;

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

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Control::Normal => "normal",
            Control::Cancel => "cancel",
            Control::End => "end",
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

impl Header {
    /// The header with a control code that is a number on the wire.
    pub fn from_wire(id: u64, code: u64) -> Self {
        Header {
            id,
            control: Control::from_wire(code),
        }
    }
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
        let located = match self {
            Layout::Protobuf(fields) => fields.locate_in_new(message)?,
            Layout::MessagePack(fields) => fields.locate(message)?,
        };
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

    /// The same as [`Layout::frame`] with the longest part of `message` that stays as it is left out: what
    /// comes before it is appended to `output`, what comes after it to `after`, and its place returned.
    pub fn frame_around(
        &self,
        framing: Framing,
        message: &[u8],
        header: Header,
        output: &mut Vec<u8>,
        after: &mut Vec<u8>,
    ) -> Result<Range<usize>, Malformed> {
        let located = self.locate(message)?;
        if !located.canonical {
            self.put_located(Some(framing), message, &located, header, output)?;
            return Ok(0..0);
        }
        let pieces = self.pieces(message.len(), &located, header);
        framing.prefix(pieces.length(), output);
        let longest = (0..3).max_by_key(|at| pieces.kept[*at].len()).unwrap_or(0);
        for at in 0..3 {
            let output = if at <= longest { &mut *output } else { &mut *after };
            if at > 0 {
                output.extend_from_slice(pieces.put[at - 1].as_slice());
            }
            if at != longest {
                output.extend_from_slice(&message[pieces.kept[at].clone()]);
            }
        }
        Ok(pieces.kept[longest].clone())
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
        if let (Layout::Protobuf(fields), Some(Framing::Varint)) = (self, framing) {
            if let Some(end) = fields.end_of_front(located) {
                return fields.put_front(&message[end..], header, output);
            }
        }
        let pieces = self.pieces(message.len(), located, header);
        if let Some(framing) = framing {
            framing.prefix(pieces.length(), output);
        }
        let Pieces { kept, put } = &pieces;
        output.extend_from_slice(&message[kept[0].clone()]);
        output.extend_from_slice(put[0].as_slice());
        output.extend_from_slice(&message[kept[1].clone()]);
        output.extend_from_slice(put[1].as_slice());
        output.extend_from_slice(&message[kept[2].clone()]);
    }

    #[inline]
    fn pieces(&self, length: usize, located: &Located, header: Header) -> Pieces {
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
        Pieces {
            kept: [
                0..first.0.start,
                first.0.end..second.0.start,
                second.0.end..length,
            ],
            put: [first.1, second.1],
        }
    }
}

/// A message with another header: parts of it that are kept, and the fields that are put between them.
struct Pieces {
    kept: [Range<usize>; 3],
    put: [Piece; 2],
}

impl Pieces {
    #[inline]
    fn length(&self) -> usize {
        self.kept.iter().map(Range::len).sum::<usize>() + self.put[0].len() + self.put[1].len()
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

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{Field, Kind};
    use crate::varint;
    use proptest::prelude::*;

    fn field(number: u32, content: &[u8], output: &mut Vec<u8>) {
        varint::write(u64::from(number) << 3 | 2, output);
        varint::write(content.len() as u64, output);
        output.extend_from_slice(content);
    }

    fn number(number: u32, value: u64, output: &mut Vec<u8>) {
        varint::write(u64::from(number) << 3, output);
        varint::write(value, output);
    }

    proptest! {
        #[test]
        fn around_its_longest_part_a_message_is_framed_the_same(
            lengths in (0usize..300, 0usize..300, 0usize..300),
            ids in prop::collection::vec(any::<u64>(), 0..3),
            control in 0u64..3,
            id in any::<u64>(),
        ) {
            let kind = Kind::Varint;
            let layout = Layout::protobuf(Field { number: 2, kind }, Field { number: 4, kind });
            let mut message = Vec::new();
            field(1, &vec![1; lengths.0], &mut message);
            for id in ids {
                number(2, id, &mut message);
            }
            field(3, &vec![3; lengths.1], &mut message);
            number(4, control, &mut message);
            field(5, &vec![5; lengths.2], &mut message);

            let header = Header { id, control: Control::Normal };
            let mut framed = vec![9];
            layout.frame(Framing::Varint, &message, id, Control::Normal, &mut framed).unwrap();
            let (mut around, mut after) = (vec![9], Vec::new());
            let left = layout
                .frame_around(Framing::Varint, &message, header, &mut around, &mut after)
                .unwrap();
            prop_assert!(left.len() >= lengths.0.max(lengths.1).max(lengths.2) || left.is_empty());
            around.extend_from_slice(&message[left]);
            around.extend_from_slice(&after);
            prop_assert_eq!(around, framed);
        }
    }
}
