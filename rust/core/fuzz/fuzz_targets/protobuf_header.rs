//! Any bytes as a protobuf message: what is spliced in is scanned out, and nothing else changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protosocket_core::header::Layout;
use protosocket_core::protobuf::{Field, Kind};

mod splice;

/// Numbers whose keys take one byte, and some whose keys take more.
fn number(choice: u8) -> u32 {
    match choice {
        0..=200 => u32::from(choice % 16) + 1,
        _ => 1 << ((choice - 200) % 29),
    }
}

const KINDS: [Kind; 3] = [Kind::Varint, Kind::Fixed64, Kind::Fixed32];

fuzz_target!(|input: &[u8]| {
    let Some(([id, control, kinds], mut header, message)) = splice::setting(input) else {
        return;
    };
    let id = Field {
        number: number(id),
        kind: KINDS[usize::from(kinds % 3)],
    };
    let control = Field {
        number: number(control),
        kind: KINDS[usize::from(kinds / 3 % 3)],
    };
    if id.number == control.number {
        return;
    }
    if id.kind == Kind::Fixed32 {
        header.id &= u64::from(u32::MAX);
    }
    splice::check(&Layout::protobuf(id, control), message, header, true);
});
