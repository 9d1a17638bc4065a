//! Any bytes as a MessagePack message: what is spliced in is scanned out, and nothing else changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protosocket_core::header::Layout;

mod splice;

/// Short keys, which arbitrary bytes hit, and ones whose own lengths take other forms.
fn key(choice: u8) -> String {
    match choice {
        0..=149 => char::from(b'a' + choice % 4).to_string(),
        150..=199 => "id".into(),
        _ => "k".repeat(usize::from(choice - 199) * 6),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(([form, id, control], header, message)) = splice::setting(input) else {
        return;
    };
    let layout = if form % 2 == 0 {
        if id % 20 == control % 20 {
            return;
        }
        Layout::msgpack_array(usize::from(id % 20), usize::from(control % 20))
    } else {
        if key(id) == key(control) {
            return;
        }
        Layout::msgpack_map(&key(id), &key(control))
    };
    splice::check(&layout, message, header, false);
});
