//! Id and control code as top-level fields of an encoded protobuf message.

use super::codec::{HeaderCodec, Located, Place};
use super::parameters::Parameters;
use crate::wire::framing::Framing;
use crate::wire::header::{Control, Header};
use crate::wire::malformed::Malformed;
use crate::wire::piece::Piece;
use crate::wire::protobuf::Walk;
use crate::wire::varint;

/// How a header field is written: its protobuf wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// uint64, uint32, int64, int32, enum.
    Varint = 0,
    /// fixed64, sfixed64.
    Fixed64 = 1,
    /// fixed32, sfixed32.
    Fixed32 = 5,
}

/// A header field of a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// Its number in the `.proto`, 1 to 2^29 - 1.
    number: u32,
    /// How it is written.
    kind: Kind,
}

impl Field {
    /// The value of the field at `at`, and where it ends, if it is a varint with a short tag and stands there.
    #[inline]
    fn short(self, message: &[u8], at: usize) -> Option<(u64, usize)> {
        let tag = *message.get(at)?;
        if self.kind != Kind::Varint || tag >= 0x80 || u32::from(tag) != self.number << 3 {
            return None;
        }
        match varint::read(&message[at + 1..]) {
            varint::Read::Value { value, length } => Some((value, at + 1 + length)),
            _ => None,
        }
    }

    /// Puts the field as it is on the wire; nothing for zero, as proto3 has it.
    #[inline]
    fn put(self, value: u64, mut put: impl FnMut(u8)) {
        if value == 0 {
            return;
        }
        put_varint(u64::from(self.number) << 3 | self.kind as u64, &mut put);
        match self.kind {
            Kind::Varint => put_varint(value, put),
            Kind::Fixed64 => value.to_le_bytes().into_iter().for_each(put),
            Kind::Fixed32 => (value as u32).to_le_bytes().into_iter().for_each(put),
        }
    }

    /// What `put` puts.
    #[inline]
    fn encode(self, value: u64) -> Piece {
        let mut piece = Piece::new();
        self.put(value, |byte| piece.push(byte));
        piece
    }
}

#[inline]
fn put_varint(mut value: u64, mut put: impl FnMut(u8)) {
    while value >= 0x80 {
        put(value as u8 | 0x80);
        value >>= 7;
    }
    put(value as u8);
}

/// The types that the two fields may have, how they are written, and the largest id that they hold. The zigzag types are
/// left out: the Rust crate's ids are unsigned.
const TYPES: [(&str, Kind, u64); 9] = [
    ("uint64", Kind::Varint, u64::MAX),
    ("int64", Kind::Varint, i64::MAX as u64),
    ("uint32", Kind::Varint, u32::MAX as u64),
    ("int32", Kind::Varint, i32::MAX as u64),
    ("enum", Kind::Varint, i32::MAX as u64),
    ("fixed64", Kind::Fixed64, u64::MAX),
    ("sfixed64", Kind::Fixed64, i64::MAX as u64),
    ("fixed32", Kind::Fixed32, u32::MAX as u64),
    ("sfixed32", Kind::Fixed32, i32::MAX as u64),
];

/// The two header fields of a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    id: Field,
    control: Field,
    largest_id: u64,
}

impl HeaderCodec for Fields {
    const IS_PROTOBUF: bool = true;

    fn from_parameters(parameters: &mut Parameters) -> Result<Self, String> {
        let mut field = |name: &str| {
            let number = parameters.number(name)?;
            if number == 0 || number >= 1 << 29 {
                return Err(format!("a field's number is 1 to 2^29 - 1, not {number}"));
            }
            let named = parameters.text_or(&format!("{name}_type"), TYPES[0].0)?;
            match TYPES.iter().find(|(known, ..)| *known == named) {
                Some((_, kind, largest)) => Ok((Field { number, kind: *kind }, *largest)),
                None => Err(format!("{name} cannot be of the type {named}")),
            }
        };
        let ((id, largest_id), (control, _)) = (field("id")?, field("control")?);
        Ok(Fields {
            id,
            control,
            largest_id,
        })
    }

    /// Numbers whose keys take one byte, and some whose keys take more.
    fn chosen([id, control, types]: [u8; 3]) -> Option<Self> {
        let number = |choice: u8| match choice {
            0..=200 => u32::from(choice % 16) + 1,
            _ => 1 << ((choice - 200) % 29),
        };
        let of_type = |number, choice: u8| {
            let (_, kind, largest) = TYPES[usize::from(choice) % TYPES.len()];
            (Field { number, kind }, largest)
        };
        let ((id, largest_id), (control, _)) = (
            of_type(number(id), types),
            of_type(number(control), types / TYPES.len() as u8),
        );
        (id.number != control.number).then_some(Fields {
            id,
            control,
            largest_id,
        })
    }

    fn largest_id(&self) -> u64 {
        self.largest_id
    }

    #[inline]
    fn locate(&self, message: &[u8]) -> Result<Located, Malformed> {
        match self.locate_at_front(message) {
            Some(located) => Ok(located),
            None => self.walk(message),
        }
    }

    #[inline]
    fn locate_in_new(&self, message: &[u8]) -> Result<Located, Malformed> {
        if !self.is_one_field_behind(message) {
            return self.locate(message);
        }
        let place = Place { start: 0, end: 0 };
        Ok(Located {
            header: Header::from_wire(0, 0),
            id: place,
            control: place,
            canonical: true,
        })
    }

    #[inline]
    fn encode_id(&self, id: u64) -> Piece {
        self.id.encode(id)
    }

    #[inline]
    fn encode_control(&self, code: u64) -> Piece {
        self.control.encode(code)
    }

    /// Both may be inserted in one place.
    #[inline]
    fn is_id_first(&self, _located: &Located) -> bool {
        self.id.number < self.control.number
    }

    #[inline]
    fn put_shortly(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        located: &Located,
        header: Header,
        output: &mut Vec<u8>,
    ) -> bool {
        match (framing, self.end_of_front(located)) {
            (Some(Framing::Varint), Some(end)) => {
                self.put_front(&message[end..], header, output);
                true
            }
            _ => false,
        }
    }

    /// The message without any of its header fields.
    fn tidied(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut rest = Vec::with_capacity(message.len());
        let mut at = 0;
        while at < message.len() {
            let start = at;
            let field = Walk::field(message, &mut at)?;
            if field.number != self.id.number && field.number != self.control.number {
                rest.extend_from_slice(&message[start..at]);
            }
        }
        Ok(rest)
    }
}

impl Fields {
    /// Finds the header where it mostly is: before the one other field of the message, which is a `oneof` of
    /// messages.
    #[inline]
    fn locate_at_front(&self, message: &[u8]) -> Option<Located> {
        if self.id.number >= self.control.number {
            return None;
        }
        let (id, end) = self.id.short(message, 0)?;
        let (control, control_end) = match self.control.short(message, end) {
            Some(found) => found,
            None => (0, end),
        };
        let rest = &message[control_end..];
        if !rest.is_empty() && !self.is_one_field_behind(rest) {
            return None;
        }
        Some(Located {
            header: Header {
                id,
                control: Control::from_wire(control),
            },
            id: Place { start: 0, end },
            control: Place {
                start: end,
                end: control_end,
            },
            canonical: true,
        })
    }

    /// Where the rest of a message begins whose header, if it has one, stands before everything else.
    #[inline]
    fn end_of_front(&self, located: &Located) -> Option<usize> {
        let (id, control) = (located.id, located.control);
        let is_front = self.id.number < self.control.number && id.start == 0 && control.start == id.end;
        is_front.then_some(control.end)
    }

    /// Appends a message of `header` and `rest`, whose fields all come after it, behind its length.
    #[inline]
    fn put_front(&self, rest: &[u8], header: Header, output: &mut Vec<u8>) {
        // The length takes at most ten bytes, and each field fifteen.
        let mut front = [0; 40];
        let mut end = 10;
        let mut put = |byte| {
            front[end] = byte;
            end += 1;
        };
        self.id.put(header.id, &mut put);
        self.control.put(header.control as u64, &mut put);
        let mut length = (end - 10 + rest.len()) as u64;
        let start = 10 - varint::length(length);
        for byte in &mut front[start..9] {
            *byte = length as u8 | 0x80;
            length >>= 7;
        }
        front[9] = length as u8;
        output.extend_from_slice(&front[start..end]);
        output.extend_from_slice(rest);
    }

    /// Walks the top-level fields once.
    fn walk(&self, message: &[u8]) -> Result<Located, Malformed> {
        let mut id = Found::default();
        let mut control = Found::default();
        let mut at = 0;
        while at < message.len() {
            let start = at;
            let field = Walk::field(message, &mut at)?;
            id.see(self.id, &field, start, at)?;
            control.see(self.control, &field, start, at)?;
        }
        let (id_place, id_canonical) = id.place(message.len());
        let (control_place, control_canonical) = control.place(message.len());
        Ok(Located {
            header: Header {
                id: id.value,
                control: Control::from_wire(control.value),
            },
            id: id_place,
            control: control_place,
            canonical: id_canonical && control_canonical,
        })
    }

    /// Whether the message is one length-delimited field of a higher number than both: what a `oneof` of messages
    /// without a header is, for which a walk costs more than everything else that is done with its bytes.
    #[inline]
    fn is_one_field_behind(&self, message: &[u8]) -> bool {
        let (Some(tag), Some(length)) = (message.first(), message.get(1..)) else {
            return false;
        };
        let number = u32::from(tag >> 3);
        if *tag & 0x87 != 2 || number <= self.id.number.max(self.control.number) {
            return false;
        }
        match varint::read(length) {
            varint::Read::Value { value, length: used } => value == (length.len() - used) as u64,
            _ => false,
        }
    }
}

/// What a walk knows of one header field so far.
#[derive(Default)]
struct Found {
    value: u64,
    place: Option<Place>,
    /// Where the first field of a higher number begins: the canonical place ends there.
    insert: Option<usize>,
    repeated: bool,
}

impl Found {
    #[inline]
    fn see(&mut self, wanted: Field, field: &Walk, start: usize, end: usize) -> Result<(), Malformed> {
        if field.number == wanted.number {
            if field.wire != wanted.kind as u8 {
                return Err(Malformed(
                    "the id or control field has another wire type than its schema says",
                ));
            }
            self.repeated |= self.place.is_some();
            self.place = Some(Place { start, end });
            self.value = field.value;
        } else if field.number > wanted.number && self.insert.is_none() {
            self.insert = Some(start);
        }
        Ok(())
    }

    #[inline]
    fn place(&self, length: usize) -> (Place, bool) {
        let insert = self.insert.unwrap_or(length);
        match self.place {
            None => (
                Place {
                    start: insert,
                    end: insert,
                },
                true,
            ),
            Some(place) => (place, !self.repeated && place.end == insert),
        }
    }
}

#[cfg(test)]
mod tests;
