//! Any bytes as a message with any header layout: what is spliced in is scanned out, and nothing else changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protosocket_core::wire::header::Header;
use protosocket_core::wire::layouts::{Layout, NAMES};

mod splice;

fuzz_target!(|input: &[u8]| {
    let Some((choices, header, message)) = splice::setting(input) else {
        return;
    };
    for name in NAMES {
        let Some(layout) = Layout::chosen(name, choices) else {
            continue;
        };
        let id = header.id & layout.largest_id();
        splice::check(&layout, message, Header { id, ..header }, layout.is_protobuf());
    }
});
