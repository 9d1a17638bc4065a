//! Where one message ends and the next begins: the length prefixes of the wire.

use super::varint;

/// How messages are told apart in a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A base-128 varint byte length before each message: protobuf's length-delimited form.
    Varint,
    /// `0xce` and a four-byte big-endian length before each message (`protosocket-messagepack`).
    MessagePack,
    /// Each message ends with a line feed.
    Lines,
}

/// What the unread bytes of a connection hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole message: its payload is `unread[header..total]` (for lines, the line feed included).
    Frame {
        /// Bytes before the payload.
        header: usize,
        /// Bytes of prefix and payload together.
        total: usize,
    },
    /// Not a whole message yet; at least `need` bytes in all are wanted.
    Incomplete {
        /// Bytes wanted in all, counted from the first unread one.
        need: usize,
    },
    /// The peer declares a message of `size` bytes, longer than the limit.
    TooLarge {
        /// The declared size in bytes.
        size: u64,
    },
    /// These bytes cannot begin a message.
    Invalid(&'static str),
}

/// The first byte of a MessagePack length prefix: `uint 32` of the MessagePack specification, which the Rust crate writes
/// for every length and the only form that it reads.
const MESSAGEPACK_U32: u8 = 0xce;

impl Framing {
    /// Looks for a message at the start of `unread`; payloads may be at most `limit` bytes.
    pub fn next(self, unread: &[u8], limit: usize) -> Step {
        self.resume(unread, limit, 0)
    }

    /// The same as [`Framing::next`], not looking again for a line feed in the first `searched` bytes.
    #[inline]
    pub fn resume(self, unread: &[u8], limit: usize, searched: usize) -> Step {
        match self {
            Framing::Varint => match varint::read(unread) {
                varint::Read::Value { value, length } => whole(unread, length, value, limit),
                varint::Read::Incomplete => Step::Incomplete {
                    need: unread.len() + 1,
                },
                varint::Read::Invalid => {
                    Step::Invalid("the length prefix is longer than ten bytes or over 64 bits")
                }
            },
            Framing::MessagePack => match unread {
                [] => Step::Incomplete { need: 5 },
                [MESSAGEPACK_U32, a, b, c, d, ..] => {
                    whole(unread, 5, u64::from(u32::from_be_bytes([*a, *b, *c, *d])), limit)
                }
                [MESSAGEPACK_U32, ..] => Step::Incomplete { need: 5 },
                _ => Step::Invalid("the length prefix does not begin with 0xce"),
            },
            Framing::Lines => match unread[searched.min(unread.len())..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                Some(at) if searched + at > limit => Step::TooLarge {
                    size: (searched + at) as u64,
                },
                Some(at) => Step::Frame {
                    header: 0,
                    total: searched + at + 1,
                },
                None if unread.len() > limit => Step::TooLarge {
                    size: unread.len() as u64,
                },
                None => Step::Incomplete {
                    need: unread.len() + 1,
                },
            },
        }
    }

    /// Appends the prefix of a payload of `length` bytes to `output`.
    ///
    /// A line has no prefix; [`Framing::suffix`] ends it.
    #[inline]
    pub fn prefix(self, length: usize, output: &mut Vec<u8>) {
        match self {
            Framing::Varint => varint::write(length as u64, output),
            Framing::MessagePack => {
                output.push(MESSAGEPACK_U32);
                output.extend_from_slice(&(length as u32).to_be_bytes());
            }
            Framing::Lines => {}
        }
    }

    /// Bytes of the whole length prefix at the start of `unread`; none for lines.
    pub fn header(self, unread: &[u8]) -> Option<usize> {
        match self {
            Framing::Varint => unread.iter().position(|byte| *byte < 0x80).map(|last| last + 1),
            Framing::MessagePack => (unread.len() >= 5).then_some(5),
            Framing::Lines => None,
        }
    }

    /// What follows each payload on the wire.
    pub fn suffix(self) -> &'static [u8] {
        match self {
            Framing::Lines => b"\n",
            Framing::Varint | Framing::MessagePack => b"",
        }
    }

    /// The longest payload whose length the prefix can say.
    pub fn longest(self) -> usize {
        match self {
            Framing::MessagePack => u32::MAX as usize,
            Framing::Varint | Framing::Lines => usize::MAX >> 1,
        }
    }
}

#[inline]
fn whole(unread: &[u8], header: usize, size: u64, limit: usize) -> Step {
    if size > limit as u64 {
        return Step::TooLarge { size };
    }
    let total = header + size as usize;
    if unread.len() < total {
        Step::Incomplete { need: total }
    } else {
        Step::Frame { header, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framings() -> impl Strategy<Value = Framing> {
        prop_oneof![
            Just(Framing::Varint),
            Just(Framing::MessagePack),
            Just(Framing::Lines)
        ]
    }

    fn encode(framing: Framing, payload: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        framing.prefix(payload.len(), &mut output);
        output.extend_from_slice(payload);
        output.extend_from_slice(framing.suffix());
        output
    }

    proptest! {
        #[test]
        fn what_was_framed_is_found(framing in framings(), mut payload in prop::collection::vec(any::<u8>(), 0..600), rest in prop::collection::vec(any::<u8>(), 0..20)) {
            payload.retain(|byte| framing != Framing::Lines || *byte != b'\n');
            let mut bytes = encode(framing, &payload);
            let length = bytes.len();
            for cut in 0..length {
                let step = framing.next(&bytes[..cut], 600);
                prop_assert!(matches!(step, Step::Incomplete { need } if need > cut && need <= length.max(5)), "{step:?} at {cut}");
            }
            bytes.extend_from_slice(&rest);
            let Step::Frame { header, total } = framing.next(&bytes, 600) else { panic!("no frame") };
            prop_assert_eq!(total, length);
            prop_assert_eq!(&bytes[header..total - framing.suffix().len()], &payload[..]);
        }

        #[test]
        fn no_frame_is_over_the_limit(framing in framings(), bytes in prop::collection::vec(any::<u8>(), 0..64), limit in 0usize..32) {
            if let Step::Frame { header, total } = framing.next(&bytes, limit) {
                prop_assert!(total - header - framing.suffix().len() <= limit);
                prop_assert!(total <= bytes.len());
            }
        }
    }

    #[test]
    fn an_endless_length_is_invalid() {
        assert!(matches!(
            Framing::Varint.next(&[0x80; 9], 10),
            Step::Incomplete { need: 10 }
        ));
        assert!(matches!(Framing::Varint.next(&[0x80; 10], 10), Step::Invalid(_)));
        assert!(matches!(
            Framing::Varint.next(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], 10),
            Step::Invalid(_)
        ));
    }
}
