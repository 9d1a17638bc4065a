//! What holds for a splice in every encoding.

use protosocket_core::wire::framing::Framing;
use protosocket_core::wire::header::{Control, Header};
use protosocket_core::wire::layouts::Layout;

/// What the input's first bytes say: three choices for the layout, and the header to splice in.
pub fn setting(input: &[u8]) -> Option<([u8; 3], Header, &[u8])> {
    let (choices, rest) = input.split_first_chunk::<3>()?;
    let ([code], rest) = rest.split_first_chunk::<1>()?;
    let (id, message) = rest.split_first_chunk::<8>()?;
    let control = Control::from_wire(u64::from(code % 3));
    // Ids of every length.
    let id = u64::from_le_bytes(*id) >> (code / 3 % 64);
    Some((*choices, Header { id, control }, message))
}

fn splice(layout: &Layout, message: &[u8], header: Header) -> Vec<u8> {
    let mut output = b"before".to_vec();
    layout
        .splice(message, header.id, header.control, &mut output)
        .expect("it was scanned");
    assert!(output.starts_with(b"before"), "output is only appended to");
    output.split_off(6)
}

/// Checks scan and splice of `message`; `zero_is_absent` where a header of zeros leaves no trace.
pub fn check(layout: &Layout, message: &[u8], header: Header, zero_is_absent: bool) {
    let Ok(before) = layout.scan(message) else {
        let mut output = Vec::new();
        assert!(
            layout
                .splice(message, header.id, header.control, &mut output)
                .is_err()
        );
        assert!(output.is_empty(), "a malformed message leaves no bytes behind");
        return;
    };
    let after = splice(layout, message, header);
    assert_eq!(layout.scan(&after), Ok(header));
    assert_eq!(splice(layout, &after, header), after, "once more changes nothing");

    // There and back: the second time around, the header's own bytes are the only ones that moved.
    let back = splice(layout, &after, before);
    assert_eq!(layout.scan(&back), Ok(before));
    assert_eq!(splice(layout, &back, header), after, "the header has one place");
    if zero_is_absent {
        let none = splice(
            layout,
            message,
            Header {
                id: 0,
                control: Control::Normal,
            },
        );
        assert!(none.len() <= message.len());
        assert_eq!(
            splice(layout, &none, header),
            after,
            "the place is where the other fields say"
        );
    }

    // Framed, it is the same message behind a prefix.
    for framing in [Framing::Varint, Framing::MessagePack] {
        let (mut framed, mut expected) = (Vec::new(), Vec::new());
        layout
            .frame(framing, message, header.id, header.control, &mut framed)
            .expect("it was scanned");
        framing.prefix(after.len(), &mut expected);
        expected.extend_from_slice(&after);
        assert_eq!(framed, expected);
    }
}
