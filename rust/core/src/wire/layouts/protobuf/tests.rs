//! A header in any protobuf message is found, replaced and put as a plain walk would.

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
