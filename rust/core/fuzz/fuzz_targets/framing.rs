//! Any bytes under every framing: no frame over the limit, and pieces give what the whole gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protosocket_core::wire::framing::{Framing, Step};

/// How a stream ended: waiting for more, or broken and how.
#[derive(Debug, PartialEq)]
enum End {
    Waiting,
    TooLarge,
    Invalid,
}

/// Reads all messages of a stream whose bytes arrive in pieces of `piece` bytes.
fn read(framing: Framing, stream: &[u8], piece: usize, limit: usize) -> (Vec<&[u8]>, End) {
    let (mut messages, mut start) = (Vec::new(), 0);
    let mut arrived = 0;
    loop {
        arrived = stream.len().min(arrived + piece);
        loop {
            let unread = &stream[start..arrived];
            match framing.next(unread, limit) {
                Step::Frame { header, total } => {
                    let payload = &unread[header..total - framing.suffix().len()];
                    assert!(payload.len() <= limit);
                    messages.push(payload);
                    start += total;
                }
                Step::Incomplete { need } => {
                    assert!(need > unread.len());
                    assert!(need <= limit + 10, "more than a prefix and a payload can need");
                    break;
                }
                Step::TooLarge { size } => {
                    assert!(size > limit as u64);
                    return (messages, End::TooLarge);
                }
                Step::Invalid(_) => return (messages, End::Invalid),
            }
        }
        if arrived == stream.len() {
            return (messages, End::Waiting);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    // The first byte is the limit: small, so that it is met often.
    let Some((limit, stream)) = input.split_first() else {
        return;
    };
    let limit = usize::from(*limit);
    for framing in [Framing::Varint, Framing::MessagePack, Framing::Lines] {
        let whole = read(framing, stream, stream.len().max(1), limit);
        assert_eq!(whole, read(framing, stream, 1, limit));
        assert_eq!(whole, read(framing, stream, 7, limit));

        // What was read can be written, and is read again.
        let mut written = Vec::new();
        for message in &whole.0 {
            framing.prefix(message.len(), &mut written);
            written.extend_from_slice(message);
            written.extend_from_slice(framing.suffix());
        }
        assert_eq!(
            (whole.0, End::Waiting),
            read(framing, &written, written.len().max(1), limit)
        );
    }
});
