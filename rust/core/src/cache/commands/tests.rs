//! Tests of the commands: what is written is read and executed, and what is not usual is left alone.

use proptest::prelude::*;

use super::delete::REMOVED;
use super::get::MISS;
use super::request::{Request, read, write};
use super::set::STORED;
use super::*;

impl Request<'_> {
    fn written(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(self, &mut bytes);
        bytes
    }
}

fn get_of(namespace: &str, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    get::write(namespace, key, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        namespace in "\\PC{1,20}",
        key in prop::collection::vec(any::<u8>(), 0..200),
        value in prop::collection::vec(any::<u8>(), 1..300),
        ttl_ms in 1_u64..,
        kind in 0..3,
    ) {
        let (namespace, key, value) = (&*namespace, &*key, &*value);
        let mut bytes = Vec::new();
        let expected = match kind {
            0 => {
                get::write(namespace, key, &mut bytes);
                Request { command: get::COMMAND, namespace, key, ..Request::default() }
            }
            1 => {
                set::write(namespace, key, value, ttl_ms, &mut bytes);
                Request { command: set::COMMAND, namespace, key, value: Some(value), ttl_ms: Some(ttl_ms) }
            }
            _ => {
                delete::write(namespace, key, &mut bytes);
                Request { command: delete::COMMAND, namespace, key, ..Request::default() }
            }
        };
        prop_assert_eq!(read(&bytes), Some(expected));
        // With a header before and behind it.
        bytes.splice(0..0, [2 << 3, 7]);
        bytes.extend([3 << 3, 0]);
        prop_assert_eq!(read(&bytes), Some(expected));
        // A field that is not known, or one that comes twice.
        let mut other = bytes.clone();
        other.extend([15 << 3, 1]);
        prop_assert_eq!(read(&other), None);
        let mut twice = bytes.clone();
        twice.extend(expected.written());
        prop_assert_eq!(read(&twice), None);
        let mut found = Vec::new();
        get::write_answer(value, &mut found);
        prop_assert_eq!(get::read_answer(&found), Some(value));
    }

    #[test]
    fn what_is_stored_is_found_until_it_is_removed(
        key in prop::collection::vec(any::<u8>(), 0..20),
        value in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut items: Items<Vec<u8>> = Items::new(1 << 20, 5);
        let mut memory = Vec::new();
        let (mut put, mut removal) = (Vec::new(), Vec::new());
        set::write("n", &key, &value, 10, &mut put);
        delete::write("n", &key, &mut removal);
        let mut run = |message: &[u8]| execute(message, &mut items, 0, &mut memory).unwrap_or(b"refused").to_vec();
        prop_assert_eq!(run(&get_of("n", &key)), MISS);
        prop_assert_eq!(run(&put), STORED);
        let found = run(&get_of("n", &key));
        prop_assert_eq!(get::read_answer(&found), Some(&*value));
        prop_assert_eq!(run(&removal), REMOVED);
        prop_assert_eq!(run(&get_of("n", &key)), MISS);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut items: Items<Vec<u8>> = Items::new(1 << 16, 5);
        let _ = (execute(&bytes, &mut items, 0, &mut Vec::new()), get::read_answer(&bytes));
    }
}

#[test]
fn what_is_not_usual_is_left_alone() {
    assert_eq!(read(&get_of("", b"k")), None);
    assert_eq!(read(b""), None);
    assert_eq!(read(b"\x52\x00"), None);
    assert_eq!(read(b"\x52\x06\x12\x04\x0a\x02\xff\xff"), None);
    assert_eq!(get::read_answer(MISS), None);
    assert_eq!(get::read_answer(STORED), None);
    assert_eq!(get::read_answer(b""), None);
    assert!(is_done(STORED, 12) && is_done(REMOVED, 13));
    assert!(is_done(b"\x08\x07\x62\x00", 12));
    assert!(!is_done(REMOVED, 12) && !is_done(b"", 12) && !is_done(MISS, 12));
    assert!(!is_done(b"\x62\x01\x00", 12) && !is_done(b"\x62\x00\x62\x00", 12));
}

#[test]
fn what_is_refused_is_left_alone() {
    let mut items: Items<Vec<u8>> = Items::new(1 << 16, 5);
    let mut memory = Vec::new();
    // A value in a command that has none, and a command that is not for here.
    for command in [get::COMMAND, delete::COMMAND, 1, 100] {
        let request = Request {
            command,
            namespace: "n",
            key: b"k",
            value: Some(b"v"),
            ttl_ms: None,
        };
        assert_eq!(execute(&request.written(), &mut items, 0, &mut memory), None);
    }
    let mut too_large = Vec::new();
    set::write("n", b"k", &[0; 1 << 16], 10, &mut too_large);
    assert_eq!(execute(&too_large, &mut items, 0, &mut memory), None);
    assert_eq!(items.statistics().items, 0);
}
