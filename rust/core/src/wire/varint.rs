//! Base-128 varints, as protobuf writes them: <https://protobuf.dev/programming-guides/encoding/#varints>.

/// What [`read`] found at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A number and how many bytes it took.
    Value {
        /// The number.
        value: u64,
        /// Its length in bytes, 1 to 10.
        length: usize,
    },
    /// The bytes end before the number does.
    Incomplete,
    /// More than ten bytes, or more than 64 bits: the tenth byte has room for one.
    Invalid,
}

/// Reads the varint at the start of `bytes`.
#[inline]
pub fn read(bytes: &[u8]) -> Read {
    match bytes {
        [first, ..] if *first < 0x80 => Read::Value {
            value: u64::from(*first),
            length: 1,
        },
        [first, second, ..] if *second < 0x80 => Read::Value {
            value: u64::from(*first & 0x7f) | u64::from(*second) << 7,
            length: 2,
        },
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Read {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return Read::Invalid;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Read::Value {
                value,
                length: index + 1,
            };
        }
    }
    Read::Incomplete
}

/// Appends `value` to `output`.
#[inline]
pub fn write(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

/// How many bytes [`write()`] takes for `value`.
#[inline]
pub fn length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            prop_assert_eq!(bytes.len(), length(value));
            prop_assert_eq!(read(&bytes), Read::Value { value, length: bytes.len() });
            prop_assert_eq!(read(&bytes[..bytes.len() - 1]), Read::Incomplete);
        }
    }
}
