//! What holds for every layout of the table, whatever bytes a message is.

use super::*;
use proptest::prelude::*;

proptest! {
    /// A header that was put is read, in its place, and garbage is refused.
    #[test]
    fn what_is_put_is_read(
        choices in any::<[u8; 3]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        id in any::<u64>(),
        code in 0u64..3,
    ) {
        for name in NAMES {
            let Some(layout) = Layout::chosen(name, choices) else { continue };
            let header = Header::from_wire(id & layout.largest_id(), code);
            let Ok(before) = layout.scan(&bytes) else { continue };
            let mut put = Vec::new();
            layout.splice(&bytes, header.id, header.control, &mut put).unwrap();
            prop_assert_eq!(layout.scan(&put), Ok(header));
            let mut again = Vec::new();
            layout.splice(&put, before.id, before.control, &mut again).unwrap();
            prop_assert_eq!(layout.scan(&again), Ok(before));
        }
    }

    /// A message without a header, as it is encoded here, is framed the same with its longest part left out.
    #[test]
    fn around_its_longest_part_a_message_is_framed_the_same(
        choices in any::<[u8; 3]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        lengths in (0usize..300, 0usize..300, 0usize..300),
        ids in prop::collection::vec(any::<u64>(), 0..3),
        id in any::<u64>(),
    ) {
        let field = |number: u8, length: usize| {
            let mut field = vec![number << 3 | 2];
            crate::wire::varint::write(length as u64, &mut field);
            field.resize(field.len() + length, number);
            field
        };
        let mut protobuf = field(1, lengths.0);
        for id in ids {
            protobuf.push(2 << 3);
            crate::wire::varint::write(id, &mut protobuf);
        }
        protobuf.extend([field(3, lengths.1), vec![4 << 3, 1], field(5, lengths.2)].concat());
        let numbers = Parameters::from([("id", 2), ("control", 4)]);
        let known = (Layout::new("protobuf", numbers).unwrap(), protobuf);
        let others = NAMES.iter().filter_map(|name| Layout::chosen(name, choices));
        for (layout, message) in others.map(|layout| (layout, bytes.clone())).chain([known]) {
            let header = Header::from_wire(id & layout.largest_id(), 0);
            let (mut framed, mut around, mut after) = (vec![9], vec![9], Vec::new());
            if layout.frame(Framing::Varint, &message, header.id, header.control, &mut framed).is_err() {
                continue;
            }
            let left = layout
                .frame_around(Framing::Varint, &message, header, &mut around, &mut after)
                .unwrap();
            around.extend_from_slice(&message[left]);
            around.extend_from_slice(&after);
            prop_assert_eq!(around, framed);
        }
    }
}

#[test]
fn a_layout_says_what_is_wrong_with_its_parameters() {
    let wrong = |name: &str, parameters: Parameters| Layout::new(name, parameters).unwrap_err();
    assert!(wrong("http", Parameters::default()).contains("protobuf, messagepack"));
    assert!(wrong("protobuf", Parameters::from([("id", 1)])).contains("control"));
    assert!(wrong("protobuf", Parameters::from([("id", 0), ("control", 2)])).contains("2^29"));
    assert!(wrong("messagepack", Parameters::from([("id", "i"), ("key", "c")])).contains("control"));
    assert!(
        wrong(
            "messagepack",
            Parameters::from([("id", 1), ("control", 2), ("key", 3)])
        )
        .contains("key")
    );
}
