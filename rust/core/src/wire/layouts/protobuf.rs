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
mod tests {
    use super::*;
    use crate::wire::layouts::Layout;
    use proptest::prelude::*;

    fn field(number: u32, wire: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint::write(u64::from(number) << 3 | u64::from(wire), &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    fn other() -> impl Strategy<Value = (u32, Vec<u8>)> {
        prop_oneof![
            (1u32..200, any::<u64>()).prop_map(|(number, value)| {
                let mut content = Vec::new();
                varint::write(value, &mut content);
                (number, field(number, 0, &content))
            }),
            (1u32..200, any::<[u8; 8]>()).prop_map(|(number, content)| (number, field(number, 1, &content))),
            (1u32..200, any::<[u8; 4]>()).prop_map(|(number, content)| (number, field(number, 5, &content))),
            (1u32..200, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(number, payload)| {
                let mut content = Vec::new();
                varint::write(payload.len() as u64, &mut content);
                content.extend_from_slice(&payload);
                (number, field(number, 2, &content))
            }),
            (1u32..200).prop_map(|number| {
                let mut content = field(7, 0, &[1]);
                content.extend(field(number, 4, &[]));
                (number, field(number, 3, &content))
            }),
        ]
    }

    fn fields(id: Field, control: Field) -> Fields {
        Fields {
            id,
            control,
            largest_id: u64::MAX,
        }
    }

    fn layout(id: Field, control: Field) -> Layout {
        Layout::Protobuf(fields(id, control))
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Varint), Just(Kind::Fixed64)]
    }

    proptest! {
        /// Looking at one field and walking find the same, whatever the message is.
        #[test]
        fn one_field_is_found_as_by_a_walk(
            ids in (1u32..20, 1u32..20),
            (_, mut message) in other(),
            more in prop_oneof![
                Just(Vec::new()),
                other().prop_map(|(_, bytes)| bytes),
                prop::collection::vec(any::<u8>(), 0..4),
            ],
            front in prop::collection::vec((0usize..3, 0u8..0x90), 0..4),
            cut in 0usize..3,
        ) {
            let kind = Kind::Varint;
            let fields = fields(Field { number: ids.0, kind }, Field { number: ids.1, kind });
            let mut header = Vec::new();
            for (number, value) in front {
                header.extend(field([ids.0, ids.1, ids.0 + 1][number], 0, &[value]));
            }
            message.splice(..0, header);
            message.extend(more);
            message.truncate(message.len() - cut.min(message.len()));
            let seen = |located: Result<Located, Malformed>| located.ok().map(|found| {
                let (id, control) = ((found.id.start, found.id.end), (found.control.start, found.control.end));
                (found.header, id, control, found.canonical)
            });
            let whole = fields.is_one_field_behind(&message);
            prop_assert!(!whole || message[0] >> 3 > ids.0.max(ids.1) as u8);
            prop_assert_eq!(seen(fields.locate_in_new(&message)), seen(fields.walk(&message)));
            prop_assert_eq!(seen(fields.locate(&message)), seen(fields.walk(&message)));
        }

        /// Putting a header before everything else gives what putting it piece by piece gives.
        #[test]
        fn a_header_at_the_front_is_put_as_any(
            ids in (1u32..200, 1u32..200), kinds in (kinds(), kinds()), before in (any::<u64>(), 0u64..3),
            rest in prop::collection::vec(other(), 0..3), id in any::<u64>(), shift in 0u32..64, code in 0u64..3,
        ) {
            prop_assume!(ids.0 != ids.1);
            let fields = fields(
                Field { number: ids.0, kind: kinds.0 },
                Field { number: ids.1, kind: kinds.1 },
            );
            let mut message = fields.id.encode(before.0).as_slice().to_vec();
            message.extend_from_slice(fields.control.encode(before.1).as_slice());
            message.extend(rest.into_iter().flat_map(|(_, bytes)| bytes));
            let located = fields.locate(&message);
            prop_assume!(located.is_ok());
            let located = located.unwrap();
            let end = fields.end_of_front(&located);
            prop_assume!(located.canonical && end.is_some());
            let header = Header { id: id >> shift, control: Control::from_wire(code) };
            let (mut whole, mut framed) = (Vec::new(), Vec::new());
            fields.put_front(&message[end.unwrap()..], header, &mut whole);
            let mut spliced = Vec::new();
            Layout::Protobuf(fields).splice(&message, header.id, header.control, &mut spliced).unwrap();
            Framing::Varint.prefix(spliced.len(), &mut framed);
            framed.extend_from_slice(&spliced);
            prop_assert_eq!(whole, framed);
        }

        #[test]
        fn what_is_placed_is_read(
            mut others in prop::collection::vec(other(), 0..6), sorted in any::<bool>(),
            id_number in 1u32..200, control_number in 1u32..200, kind in kinds(),
            ids in prop::collection::vec(any::<u64>(), 1..4), code in 0u64..3,
        ) {
            prop_assume!(id_number != control_number);
            others.retain(|(number, _)| *number != id_number && *number != control_number);
            if sorted { others.sort_by_key(|(number, _)| *number); }
            let message: Vec<u8> = others.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
            let layout = layout(
                Field { number: id_number, kind }, Field { number: control_number, kind: Kind::Varint });
            prop_assert_eq!(layout.scan(&message), Ok(Header { id: 0, control: Control::Normal }));
            let mut current = message.clone();
            for id in ids {
                let mut next = Vec::new();
                layout.splice(&current, id, Control::from_wire(code), &mut next).unwrap();
                prop_assert_eq!(layout.scan(&next), Ok(Header { id, control: Control::from_wire(code) }));
                current = next;
            }
            // A second header anywhere: the last one counts, and a splice leaves one.
            let mut twice = current.clone();
            twice.extend_from_slice(Field { number: id_number, kind }.encode(9).as_slice());
            prop_assert_eq!(layout.scan(&twice).map(|header| header.id), Ok(9));
            let mut back = Vec::new();
            layout.splice(&twice, 0, Control::Normal, &mut back).unwrap();
            prop_assert_eq!(back, message);
        }
    }

    #[test]
    fn a_header_goes_where_its_number_says() {
        let layout = layout(
            Field {
                number: 2,
                kind: Kind::Varint,
            },
            Field {
                number: 3,
                kind: Kind::Varint,
            },
        );
        let message = [0x08, 5, 0x52, 1, b'x']; // field 1 = 5, field 10 = "x"
        let mut output = Vec::new();
        layout
            .splice(&message, 300, Control::Cancel, &mut output)
            .unwrap();
        assert_eq!(output, [0x08, 5, 0x10, 0xac, 2, 0x18, 1, 0x52, 1, b'x']);
    }
}
