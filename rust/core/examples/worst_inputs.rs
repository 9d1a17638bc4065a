//! Gives each parser of the core the worst input that a peer can send it, for `tools/measure_growth.py` to count how
//! the cost grows.
//!
//! Each input is read in about `SIZE` and in twice as many bytes, and its name printed. The process id of the parent is
//! asked for before and after each reading, and nowhere else: that is where the counting is cut.

use std::cell::RefCell;
use std::hint::black_box;
use std::os::unix::process::parent_id;

use protosocket_core::cache::commands::{execute, get};
use protosocket_core::cache::engine::items::Items;
use protosocket_core::connection::receive_buffer::ReceiveBuffer;
use protosocket_core::wire::framing::{Framing, Step};
use protosocket_core::wire::header::Control;
use protosocket_core::wire::layouts::{Layout, Parameters};
use protosocket_core::wire::light;
use protosocket_core::wire::protobuf_reader::{MAX_DEPTH, Reader};

mod support;

use support::{arrive, cache_layout, cache_path, field};

/// Bytes.
const SIZE: usize = 32 * 1024;

/// Makes an input of about so many bytes, and reads one.
struct Case {
    name: &'static str,
    make: fn(usize) -> Vec<u8>,
    read: fn(&[u8]),
}

const CASES: &[Case] = &[
    Case {
        name: "header/tiny-fields",
        make: |size| repeated(b"\x78\x01", size),
        read: header,
    },
    Case {
        name: "header/repeated",
        make: |size| repeated(b"\x10\x05\x18\x01\x78\x01", size),
        read: header,
    },
    Case {
        name: "header/groups",
        make: groups,
        read: header,
    },
    Case {
        name: "header/one-group-of-groups",
        make: |size| within_group(&groups(size)),
        read: header,
    },
    Case {
        name: "header/messagepack-pairs",
        make: pairs,
        read: messagepack_map,
    },
    Case {
        name: "header/messagepack-depth",
        make: deep,
        read: messagepack_array,
    },
    Case {
        name: "header/messagepack-deep-key",
        make: deep_key,
        read: messagepack_map,
    },
    Case {
        name: "relay/commands",
        make: |size| repeated(&field(10, &field(2, b"\x12\x01k")), size),
        read: relay,
    },
    Case {
        name: "relay/alternating",
        make: alternating,
        read: relay,
    },
    Case {
        name: "relay/keys",
        make: |size| field(10, &field(2, &repeated(b"\x12\x01k", size))),
        read: relay,
    },
    Case {
        name: "relay/texts",
        make: |size| field(10, &field(2, &repeated(b"\x0a\x02\xc3\xa9", size))),
        read: relay,
    },
    Case {
        name: "cache/tiny-fields",
        make: |size| repeated(b"\x10\x01", size),
        read: cache,
    },
    Case {
        name: "cache/repeated",
        make: |size| field(10, &repeated(&field(2, b"\x0a\x01n"), size)),
        read: cache,
    },
    Case {
        name: "light/ids",
        make: |size| repeated(b"\x08\x01", size),
        read: light_message,
    },
    Case {
        name: "reader/groups",
        make: groups,
        read: skip,
    },
    Case {
        name: "framing/varint-tiny",
        make: |size| repeated(b"\x01x", size),
        read: |bytes| stream(Framing::Varint, bytes, 1),
    },
    Case {
        name: "framing/varint-long",
        make: long,
        read: |bytes| stream(Framing::Varint, bytes, 1),
    },
    Case {
        name: "framing/varint-empty",
        make: |size| repeated(b"\x00", size),
        read: |bytes| stream(Framing::Varint, bytes, 4096),
    },
    Case {
        name: "framing/messagepack-tiny",
        make: |size| repeated(b"\xce\0\0\0\x01x", size),
        read: |bytes| stream(Framing::MessagePack, bytes, 1),
    },
    Case {
        name: "framing/line-long",
        make: |size| [repeated(b"x", size), b"\n".to_vec()].concat(),
        read: |bytes| stream(Framing::Lines, bytes, 1),
    },
    Case {
        name: "framing/line-endless",
        make: |size| repeated(b"x", size),
        read: |bytes| stream(Framing::Lines, bytes, 3),
    },
    Case {
        name: "framing/lines-empty",
        make: |size| repeated(b"\n", size),
        read: |bytes| stream(Framing::Lines, bytes, 4096),
    },
];

fn main() {
    for case in CASES {
        for size in [SIZE, 2 * SIZE] {
            let input = (case.make)(size);
            black_box(parent_id());
            (case.read)(black_box(&input));
            black_box(parent_id());
        }
        println!("{}", case.name);
    }
}

fn repeated(part: &[u8], size: usize) -> Vec<u8> {
    part.repeat(size / part.len())
}

/// Groups in groups, as deep as they may be, again and again.
fn groups(size: usize) -> Vec<u8> {
    let depth = MAX_DEPTH as usize - 1;
    repeated(&[vec![0x7b; depth], vec![0x7c; depth]].concat(), size)
}

fn within_group(content: &[u8]) -> Vec<u8> {
    [b"\x73", content, b"\x74"].concat()
}

/// A MessagePack map of many pairs, in which the id comes again and again.
fn pairs(size: usize) -> Vec<u8> {
    let count = (size / 4) as u32;
    [&[0xdf][..], &count.to_be_bytes(), &repeated(b"\xa2id\x07", size)].concat()
}

/// An array whose first element is an array in an array, and so on.
fn deep(size: usize) -> Vec<u8> {
    [&[0x93][..], &vec![0x91; size], &[0xc0, 1, 0]].concat()
}

/// The same as a key.
fn deep_key(size: usize) -> Vec<u8> {
    [&[0x81][..], &vec![0x91; size], &[0xc0, 1]].concat()
}

/// Commands that exclude each other.
fn alternating(size: usize) -> Vec<u8> {
    let pair = [
        field(2, b"\x12\x01k"),
        field(1, b"\x0a\x01n"),
        b"\x78\x01".to_vec(),
    ]
    .concat();
    field(10, &repeated(&pair, size))
}

/// One message behind its length.
fn long(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Framing::Varint.prefix(size, &mut bytes);
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

/// Looks for the header, and puts another one there.
fn look(layout: &Layout, message: &[u8]) {
    let mut output = Vec::new();
    let _ = black_box(layout.scan(message));
    let _ = black_box(layout.splice(message, 300, Control::End, &mut output));
}

fn header(message: &[u8]) {
    look(&cache_layout(), message);
}

fn messagepack_map(message: &[u8]) {
    let names = Parameters::from([("id", "id"), ("control", "control")]);
    look(
        &Layout::new("messagepack", names).expect("they are names"),
        message,
    );
}

fn messagepack_array(message: &[u8]) {
    let indexes = Parameters::from([("id", 1), ("control", 2)]);
    look(
        &Layout::new("messagepack", indexes).expect("they are indexes"),
        message,
    );
}

fn relay(message: &[u8]) {
    let _ = black_box(cache_path().find(message));
}

fn cache(message: &[u8]) {
    thread_local! {
        static ITEMS: RefCell<Items<Vec<u8>>> = RefCell::new(Items::new(1 << 24, 1));
    }
    ITEMS.with_borrow_mut(|items| {
        black_box(execute(message, items, 0, &mut Vec::new()));
    });
    black_box(get::read_answer(message));
}

fn light_message(message: &[u8]) {
    let fields = light::Fields {
        id: 1,
        payload: 3,
        method: 4,
    };
    black_box(fields.read(message));
}

fn skip(message: &[u8]) {
    let mut reader = Reader::new(message);
    while let Ok((number, wire_type)) = reader.key() {
        if reader.skip(number, wire_type, MAX_DEPTH).is_err() {
            break;
        }
    }
}

/// Receives `bytes` in reads of `piece` each, and takes off every message as soon as it is there.
fn stream(framing: Framing, bytes: &[u8], piece: usize) {
    let mut buffer = ReceiveBuffer::new();
    let (mut need, mut searched) = (0, 0);
    for piece in bytes.chunks(piece) {
        arrive(&mut buffer, piece);
        // As a connection does it: it looks again when what was missing may be there.
        while !buffer.unread().is_empty() && buffer.unread().len() >= need {
            match framing.resume(buffer.unread(), usize::MAX >> 1, searched) {
                Step::Frame { total, .. } => {
                    black_box(&buffer.unread()[..total]);
                    buffer.consume(total);
                    (need, searched) = (0, 0);
                }
                Step::Incomplete { need: more } => {
                    need = more;
                    searched = buffer.unread().len();
                }
                step => panic!("these are messages, not {step:?}"),
            }
        }
    }
}
