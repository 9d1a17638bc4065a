//! The keys of the maps in a MessagePack value, looked at before anybody makes dicts of them.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::hash_flooding::{HashOfTuple, MIN_WATCHED, Probes, hash_of_float, hash_of_int};
use super::messagepack::Reader;

/// Arrays and maps in one another: no decoder goes so deep (msgspec refuses at Python's recursion limit, 1,000), and a
/// level takes more memory here than in the message.
const MAX_DEPTH: usize = 1 << 16;

/// Tuples in tuples as a key: nobody needs more, and what is deeper counts as one hash.
const MAX_KEY_DEPTH: u32 = 16;

/// An array or a map of which not all values were read.
struct Open {
    /// Keys count as values.
    left: u64,
    is_map: bool,
    /// Those of a map with many keys.
    probes: Option<Box<Probes>>,
}

/// What a value is that was just read.
enum Value {
    Integer(i128),
    Float(f64),
    Open(Open),
    Other,
}

impl Value {
    /// Python's hash of a number: it takes longer than to read one, so only keys of long maps are asked for theirs.
    fn hash(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(hash_of_int(*number)),
            Value::Float(number) => Some(hash_of_float(*number)),
            Value::Open(_) | Value::Other => None,
        }
    }
}

/// Whether a map in `message` has numbers, or arrays of them, as keys that were chosen to meet in a dict.
///
/// A message that does not read has none: whoever decodes it will say so.
pub fn floods_a_dict(message: &[u8]) -> bool {
    // Most messages cannot have a map so long.
    let has_long = |part: &[u8]| {
        part.iter()
            .fold(false, |found, byte| found | (byte & 0xfe == 0xde))
    };
    if message.len() < 2 * MIN_WATCHED || !message.chunks(256).any(has_long) {
        return false;
    }
    // And few have one, which is soon found out.
    if !matches!(Reader::new(message).skip_to_map(MIN_WATCHED as u64), Ok(true)) {
        return false;
    }
    let mut reader = Reader::new(message);
    let mut open = vec![Open::array(1)];
    while let Some(innermost) = open.last_mut() {
        let Some(left) = innermost.left.checked_sub(1) else {
            open.pop();
            continue;
        };
        innermost.left = left;
        let is_key = innermost.is_map && left % 2 == 1;
        let Some(value) = value(&mut reader) else {
            return false;
        };
        let probes = innermost.probes.as_mut().filter(|_| is_key);
        if let Value::Open(value) = value {
            if let Some(probes) = probes.filter(|_| !value.is_map) {
                let hash = hash_of_array(&mut reader.clone(), value.left, MAX_KEY_DEPTH);
                if hash.is_some_and(|hash| !probes.add_new(hash)) {
                    return true;
                }
            }
            if open.len() == MAX_DEPTH {
                return false;
            }
            open.push(value);
        } else if let Some(probes) = probes {
            if value.hash().is_some_and(|hash| !probes.add(hash)) {
                return true;
            }
        }
    }
    false
}

impl Open {
    fn array(count: u64) -> Self {
        Open {
            left: count,
            is_map: false,
            probes: None,
        }
    }

    fn map(count: u64) -> Self {
        Open {
            left: 2 * count,
            is_map: true,
            probes: (count >= MIN_WATCHED as u64).then(Box::default),
        }
    }
}

/// Python's hash of what an array of so many values is as a key; none if it cannot be one.
fn hash_of_array(reader: &mut Reader<'_>, count: u64, depth: u32) -> Option<i64> {
    let mut tuple = HashOfTuple::default();
    for _ in 0..count {
        let before = *reader;
        let hash = match value(reader)? {
            number @ (Value::Integer(_) | Value::Float(_)) => number.hash()?,
            Value::Open(inner) if inner.is_map => return None,
            Value::Open(inner) if depth > 0 => hash_of_array(reader, inner.left, depth - 1)?,
            Value::Open(inner) => {
                for _ in 0..inner.left {
                    reader.skip().ok()?;
                }
                0
            }
            Value::Other => hash_of_other(reader.since(&before)),
        };
        tuple.add(hash);
    }
    Some(tuple.finish())
}

/// The hash of what is neither a number nor has values in it. That of a text depends on a secret: here it is another one.
fn hash_of_other(encoded: &[u8]) -> i64 {
    match encoded {
        [0xc3] => 1,
        // No text, no bytes, False.
        [0xa0] | [0xc2] | [0xc4 | 0xd9, 0] | [0xc5 | 0xda, 0, 0] | [0xc6 | 0xdb, 0, 0, 0, 0] => 0,
        // None, since Python 3.12.
        [0xc0] => 0xfca8_6420,
        _ => {
            let mut hasher = DefaultHasher::new();
            encoded.hash(&mut hasher);
            hasher.finish() as i64
        }
    }
}

/// Reads a value, or the head of one with others in it.
fn value(reader: &mut Reader<'_>) -> Option<Value> {
    let number = |number: i128| Some(Value::Integer(number));
    let head = reader.byte().ok()?;
    match head {
        0x00..=0x7f => return number(i128::from(head)),
        0xe0..=0xff => return number(i128::from(head as i8)),
        0xcc => return number(i128::from(reader.unsigned::<1>().ok()?)),
        0xcd => return number(i128::from(reader.unsigned::<2>().ok()?)),
        0xce => return number(i128::from(reader.unsigned::<4>().ok()?)),
        0xcf => return number(i128::from(reader.unsigned::<8>().ok()?)),
        0xd0 => return number(i128::from(reader.unsigned::<1>().ok()? as i8)),
        0xd1 => return number(i128::from(reader.unsigned::<2>().ok()? as i16)),
        0xd2 => return number(i128::from(reader.unsigned::<4>().ok()? as i32)),
        0xd3 => return number(i128::from(reader.unsigned::<8>().ok()? as i64)),
        0xca => {
            let float = f32::from_bits(reader.unsigned::<4>().ok()? as u32);
            return Some(Value::Float(f64::from(float)));
        }
        0xcb => {
            let float = f64::from_bits(reader.unsigned::<8>().ok()?);
            return Some(Value::Float(float));
        }
        _ => {}
    }
    let opened = match head {
        0x80..=0x8f => Open::map(u64::from(head & 0x0f)),
        0x90..=0x9f => Open::array(u64::from(head & 0x0f)),
        0xdc => Open::array(reader.unsigned::<2>().ok()?),
        0xdd => Open::array(reader.unsigned::<4>().ok()?),
        0xde => Open::map(reader.unsigned::<2>().ok()?),
        0xdf => Open::map(reader.unsigned::<4>().ok()?),
        _ => {
            reader.go_back();
            reader.skip().ok()?;
            return Some(Value::Other);
        }
    };
    Some(Value::Open(opened))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messagepack::shortest;
    use proptest::prelude::*;

    /// A map of these keys to nil, in a map and an array.
    fn map(keys: &[u64]) -> Vec<u8> {
        let mut message = vec![0x81, 0xa1, b'k', 0x92, 0xc0, 0xdf];
        message.extend((keys.len() as u32).to_be_bytes());
        for key in keys {
            message.extend(shortest(*key).as_slice());
            message.push(0xc0);
        }
        message
    }

    fn chosen() -> Vec<u64> {
        let size = 1 << 14;
        let chain = std::iter::successors(Some(1u64), |place| Some((place * 5 + 1) % size)).take(5_000);
        chain.chain((1..5_000).map(|turn| 1 + turn * size)).collect()
    }

    #[test]
    fn keys_that_were_chosen_to_meet_are_found() {
        assert!(floods_a_dict(&map(&chosen())));
        assert!(!floods_a_dict(&map(&(0..10_000).collect::<Vec<_>>())));
        let floats: Vec<u8> = chosen()
            .iter()
            .flat_map(|key| [&[0xcb][..], &(*key as f64).to_be_bytes(), &[0xc3]].concat())
            .collect();
        assert!(floods_a_dict(
            &[&[0xdf][..], &9_999u32.to_be_bytes(), &floats].concat()
        ));
        // As values they are no harm.
        let values: Vec<u8> = chosen()
            .iter()
            .flat_map(|key| [&[0xa0][..], shortest(*key).as_slice()].concat())
            .collect();
        assert!(!floods_a_dict(
            &[&[0xdf][..], &9_999u32.to_be_bytes(), &values].concat()
        ));
    }

    /// Python's tuples of two numbers that all have one hash, as keys of a map.
    fn tuples(count: usize) -> Vec<u8> {
        const PRIMES: [u64; 3] = [
            0x9e37_79b1_85eb_ca87,
            0xc2b2_ae3d_27d4_eb4f,
            0x27d4_eb2f_1656_67c5,
        ];
        // The second prime times this is 1.
        let inverse = (0..6).fold(PRIMES[1], |inverse, _| {
            inverse.wrapping_mul(2u64.wrapping_sub(PRIMES[1].wrapping_mul(inverse)))
        });
        let second = |first: u64| {
            let sum = PRIMES[2].wrapping_add(first.wrapping_mul(PRIMES[1]));
            let sum = sum.rotate_left(31).wrapping_mul(PRIMES[0]);
            7u64.wrapping_sub(sum).wrapping_mul(inverse)
        };
        let keys: Vec<u8> = (1u64..)
            .map(|first| (first, second(first)))
            .filter(|(_, second)| *second < 1 << 60)
            .take(count)
            .flat_map(|(first, second)| {
                [
                    &[0x92][..],
                    shortest(first).as_slice(),
                    shortest(second).as_slice(),
                    &[0xc0],
                ]
                .concat()
            })
            .collect();
        [&[0xdf][..], &(count as u32).to_be_bytes(), &keys].concat()
    }

    #[test]
    fn arrays_as_keys_that_were_chosen_to_meet_are_found() {
        assert!(floods_a_dict(&tuples(2_000)));
        let grid: Vec<u8> = (0..100u8)
            .flat_map(|row| (0..100u8).flat_map(move |column| [0x93, row, column, 0xc0, 0xc2]))
            .collect();
        assert!(!floods_a_dict(
            &[&[0xdf][..], &10_000u32.to_be_bytes(), &grid].concat()
        ));
        // Deeper than anybody goes.
        let deep = [&[0x91; 40][..], &[0xc0, 0xc0]].concat().repeat(1_100);
        assert!(floods_a_dict(
            &[&[0xdf][..], &1_100u32.to_be_bytes(), &deep].concat()
        ));
        // What is no key is no harm.
        let values = [&[0x91; 40][..], &[0xc0]].concat().repeat(1_100);
        assert!(!floods_a_dict(
            &[&[0xdd][..], &1_100u32.to_be_bytes(), &values].concat()
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80u8..0xa0, 0xc0u8..0xe0], 2048..4096)) {
            floods_a_dict(&bytes);
        }
    }
}
