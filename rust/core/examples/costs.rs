//! Runs one path of the core many times, for `tools/measure_costs.py` to count what a time costs.
//!
//! `costs PATH COUNT` runs it COUNT times and prints the allocations of them all; without arguments it lists
//! the paths. Every path takes a message as the cache sends it: a 32-byte key, a 128-byte value.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use protosocket_core::cache::engine::{Engine, key_hash};
use protosocket_core::connection::receive_buffer::ReceiveBuffer;
use protosocket_core::rpc::calls::Pending;
use protosocket_core::rpc::relay::key_path::Kind;
use protosocket_core::wire::framing::{Framing, Step};
use protosocket_core::wire::header::{Control, Header};
use protosocket_core::wire::layouts::Layout;

mod support;

use support::{arrive, cache_layout, cache_path, field};

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Memory) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Memory) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEY: [u8; 32] = [b'k'; 32];
const VALUE: [u8; 128] = [b'v'; 128];
const LIMIT: usize = 4 << 20;
/// In milliseconds.
const HOUR: u64 = 3_600_000;

/// What runs: `count` times.
type Path = fn(u64);

const PATHS: [(&str, Path); 6] = [
    ("send", send),
    ("receive", receive),
    ("relay", relay),
    ("calls", calls),
    ("engine-get", engine_get),
    ("engine-set", engine_set),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else {
        for (name, _) in PATHS {
            println!("{name}");
        }
        return;
    };
    let path = PATHS.iter().find(|(known, _)| known == name);
    let (Some((_, path)), Ok(count)) = (path, count.parse()) else {
        eprintln!("costs: there is no path {name}, or {count} is no number");
        std::process::exit(2);
    };
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    path(count);
    println!("{}", ALLOCATIONS.load(Ordering::Relaxed) - before);
}

/// An encoded CacheCommand: a set of `KEY` to `VALUE` in the cache "default".
fn command() -> Vec<u8> {
    let set = [field(1, b"default"), field(2, &KEY), field(3, &VALUE)].concat();
    field(10, &field(3, &set))
}

fn send(count: u64) {
    let (layout, command) = (cache_layout(), command());
    let mut output = Vec::with_capacity(64 * 1024);
    for id in 0..count {
        if output.len() > 60_000 {
            output.clear();
        }
        let framed = layout.frame(
            Framing::Varint,
            black_box(&command),
            id,
            Control::Normal,
            &mut output,
        );
        assert!(framed.is_ok());
    }
}

/// Sixty-four commands on the wire.
fn batch(layout: &Layout) -> Vec<u8> {
    let command = command();
    let mut wire = Vec::new();
    for id in 1..=64 {
        let framed = layout.frame(Framing::Varint, &command, id, Control::Normal, &mut wire);
        assert!(framed.is_ok());
    }
    wire
}

/// Takes `count` messages off a receive buffer that is filled with batches.
fn each_message(count: u64, mut look: impl FnMut(&Layout, &[u8])) {
    let layout = cache_layout();
    let wire = batch(&layout);
    let mut buffer = ReceiveBuffer::new();
    let mut left = count;
    while left > 0 {
        arrive(&mut buffer, &wire);
        while left > 0 {
            let Step::Frame { header, total } = Framing::Varint.next(buffer.unread(), LIMIT) else {
                break;
            };
            look(&layout, &buffer.unread()[header..total]);
            buffer.consume(total);
            left -= 1;
        }
    }
}

fn receive(count: u64) {
    each_message(count, |layout, message| {
        assert!(black_box(layout.scan(message)).is_ok());
    });
}

fn relay(count: u64) {
    let path = cache_path();
    let mut output = Vec::with_capacity(64 * 1024);
    each_message(count, |layout, message| {
        if output.len() > 60_000 {
            output.clear();
        }
        let (Ok(located), Ok(Kind::Keyed(key))) = (layout.locate(message), path.find(message)) else {
            panic!("the command is malformed");
        };
        let header = Header {
            id: key_hash(key) & 0xff,
            control: Control::Normal,
        };
        let framed = layout.frame_located(Framing::Varint, message, &located, header, &mut output);
        assert!(framed.is_ok());
    });
}

fn calls(count: u64) {
    let mut pending = Pending::new(u64::MAX);
    for _ in 0..64 {
        pending.insert(());
    }
    for first in 1..=count {
        black_box(pending.insert(()));
        black_box(pending.remove(first));
    }
}

fn engine_get(count: u64) {
    let mut engine = Engine::new(1 << 20, 1);
    assert!(engine.set(0, b"default", &KEY, VALUE, VALUE.len(), HOUR).is_ok());
    for _ in 0..count {
        let found = engine.get(1, b"default", black_box(&KEY), |value| value[0]);
        assert_eq!(found, Some(b'v'));
    }
}

fn engine_set(count: u64) {
    let mut engine = Engine::new(1 << 20, 1);
    for number in 0..count {
        let mut key = KEY;
        key[0] = (number % 64) as u8;
        let stored = engine.set(0, b"default", black_box(&key), VALUE, VALUE.len(), HOUR);
        assert!(stored.is_ok());
    }
}
