//! Id and control code as elements of a MessagePack array or values of a MessagePack map.

use crate::header::{Control, Header, Located, Malformed, Piece, Place};

/// Where the two header fields are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// A message is an array (what `rmp-serde` writes for a struct): their indexes.
    Array {
        /// The index of the message id.
        id: usize,
        /// The index of the control code.
        control: usize,
    },
    /// A message is a map: their keys.
    Map {
        /// The key of the message id.
        id: Box<str>,
        /// The key of the control code.
        control: Box<str>,
    },
}

/// An unsigned integer in its shortest form.
#[inline]
pub(crate) fn encode(value: u64) -> Piece {
    let mut piece = Piece::new();
    match value {
        0..=0x7f => piece.push(value as u8),
        0x80..=0xff => {
            piece.push(0xcc);
            piece.push(value as u8);
        }
        0x100..=0xffff => {
            piece.push(0xcd);
            piece.extend(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            piece.push(0xce);
            piece.extend(&(value as u32).to_be_bytes());
        }
        _ => {
            piece.push(0xcf);
            piece.extend(&value.to_be_bytes());
        }
    }
    piece
}

const ENDS: Malformed = Malformed("the message ends too early");
const NO_NUMBER: Malformed = Malformed("the id or the control code is not an unsigned integer");

impl Fields {
    pub(crate) fn locate(&self, message: &[u8]) -> Result<Located, Malformed> {
        let mut reader = Reader::new(message);
        match self {
            Fields::Array { id, control } => {
                let count = reader.array()?;
                let mut found = [(0u64, Place { start: 0, end: 0 }); 2];
                for index in 0..=(*id).max(*control) {
                    if index >= count {
                        return Err(Malformed(
                            "the array is too short to hold the id and the control code",
                        ));
                    }
                    if index == *id || index == *control {
                        found[usize::from(index == *control)] = reader.placed_integer()?;
                    } else {
                        reader.skip()?;
                    }
                }
                Ok(located(found[0].0, found[1].0, found[0].1, found[1].1, true))
            }
            Fields::Map { id, control } => {
                let count = reader.map()?;
                let mut found: [Option<(u64, Place)>; 2] = [None, None];
                let mut once = true;
                for _ in 0..count {
                    let key = reader.string()?;
                    let slot = match key {
                        Some(key) if key == id.as_bytes() => &mut found[0],
                        Some(key) if key == control.as_bytes() => &mut found[1],
                        _ => {
                            reader.skip()?;
                            continue;
                        }
                    };
                    once &= slot.is_none();
                    *slot = Some(reader.placed_integer()?);
                }
                let nowhere = (0, Place { start: 0, end: 0 });
                let complete = found.iter().all(Option::is_some);
                let [id, control] = found.map(|slot| slot.unwrap_or(nowhere));
                Ok(located(id.0, control.0, id.1, control.1, once && complete))
            }
        }
    }

    /// The message as a map in which id and control code stand once each, first and with value zero.
    pub(crate) fn with_header(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Fields::Map { id, control } = self else {
            return Err(Malformed(
                "the array is too short to hold the id and the control code",
            ));
        };
        let mut reader = Reader::new(message);
        let count = reader.map()?;
        let mut pairs = Vec::with_capacity(message.len() + id.len() + control.len() + 8);
        let mut kept = 2usize;
        for key in [id, control] {
            write_string(key, &mut pairs);
            pairs.push(0);
        }
        for _ in 0..count {
            let start = reader.at;
            let key = reader.string()?;
            reader.skip()?;
            if key != Some(id.as_bytes()) && key != Some(control.as_bytes()) {
                pairs.extend_from_slice(&message[start..reader.at]);
                kept += 1;
            }
        }
        let mut map = Vec::with_capacity(pairs.len() + 5 + message.len() - reader.at);
        match kept {
            0..=15 => map.push(0x80 | kept as u8),
            16..=0xffff => {
                map.push(0xde);
                map.extend_from_slice(&(kept as u16).to_be_bytes());
            }
            _ => {
                map.push(0xdf);
                map.extend_from_slice(&(kept as u32).to_be_bytes());
            }
        }
        map.extend_from_slice(&pairs);
        map.extend_from_slice(&message[reader.at..]);
        Ok(map)
    }
}

fn located(id: u64, control: u64, id_place: Place, control_place: Place, canonical: bool) -> Located {
    Located {
        header: Header {
            id,
            control: Control::from_wire(control),
        },
        id: id_place,
        control: control_place,
        canonical,
    }
}

fn write_string(text: &str, output: &mut Vec<u8>) {
    match text.len() {
        length @ 0..=31 => output.push(0xa0 | length as u8),
        length @ 32..=0xff => output.extend_from_slice(&[0xd9, length as u8]),
        length => {
            output.push(0xda);
            output.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    output.extend_from_slice(text.as_bytes());
}

#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// What was read since `before`.
    pub fn since(&self, before: &Reader<'a>) -> &'a [u8] {
        &self.bytes[before.at..self.at]
    }

    /// Back to the byte that was read last.
    pub fn go_back(&mut self) {
        self.at -= 1;
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(ENDS)?;
        self.at += 1;
        Ok(byte)
    }

    /// A big-endian unsigned integer of `N` bytes.
    pub fn unsigned<const N: usize>(&mut self) -> Result<u64, Malformed> {
        let bytes = self.bytes[self.at..].first_chunk::<N>().ok_or(ENDS)?;
        self.at += N;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(ENDS);
        }
        let start = self.at;
        self.at += length as usize;
        Ok(&self.bytes[start..self.at])
    }

    fn array(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            byte @ 0x90..=0x9f => Ok(usize::from(byte & 0x0f)),
            0xdc => Ok(self.unsigned::<2>()? as usize),
            0xdd => Ok(self.unsigned::<4>()? as usize),
            _ => Err(Malformed("the message is not a MessagePack array")),
        }
    }

    fn map(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            byte @ 0x80..=0x8f => Ok(usize::from(byte & 0x0f)),
            0xde => Ok(self.unsigned::<2>()? as usize),
            0xdf => Ok(self.unsigned::<4>()? as usize),
            _ => Err(Malformed("the message is not a MessagePack map")),
        }
    }

    /// The string at this place, or nothing (and the value skipped) if it is something else.
    fn string(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let start = self.at;
        let length = match self.byte()? {
            byte @ 0xa0..=0xbf => u64::from(byte & 0x1f),
            0xd9 => self.unsigned::<1>()?,
            0xda => self.unsigned::<2>()?,
            0xdb => self.unsigned::<4>()?,
            _ => {
                self.at = start;
                self.skip()?;
                return Ok(None);
            }
        };
        self.take(length).map(Some)
    }

    fn placed_integer(&mut self) -> Result<(u64, Place), Malformed> {
        let start = self.at;
        let value = self.integer()?;
        Ok((value, Place { start, end: self.at }))
    }

    fn integer(&mut self) -> Result<u64, Malformed> {
        let (value, sign) = match self.byte()? {
            byte @ 0..=0x7f => (u64::from(byte), 0),
            0xcc => (self.unsigned::<1>()?, 0),
            0xcd => (self.unsigned::<2>()?, 0),
            0xce => (self.unsigned::<4>()?, 0),
            0xcf => (self.unsigned::<8>()?, 0),
            0xd0 => (self.unsigned::<1>()?, 1u64 << 7),
            0xd1 => (self.unsigned::<2>()?, 1 << 15),
            0xd2 => (self.unsigned::<4>()?, 1 << 31),
            0xd3 => (self.unsigned::<8>()?, 1 << 63),
            _ => return Err(NO_NUMBER),
        };
        if value & sign != 0 {
            Err(NO_NUMBER)
        } else {
            Ok(value)
        }
    }

    /// Skips one value, however deep.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_to_map(u64::MAX).map(drop)
    }

    /// Skips one value, or what of it comes before a map of so many pairs; whether there is one. A counter of values
    /// still open, no recursion.
    #[inline]
    pub fn skip_to_map(&mut self, pairs: u64) -> Result<bool, Malformed> {
        let mut open = 1u64;
        while open > 0 {
            open -= 1;
            match self.byte()? {
                0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => {}
                byte @ 0x80..=0x8f => open += 2 * u64::from(byte & 0x0f),
                byte @ 0x90..=0x9f => open += u64::from(byte & 0x0f),
                byte @ 0xa0..=0xbf => drop(self.take(u64::from(byte & 0x1f))?),
                0xc1 => return Err(Malformed("0xc1 is no MessagePack value")),
                0xc4 | 0xd9 => {
                    let length = self.unsigned::<1>()?;
                    self.take(length)?;
                }
                0xc5 | 0xda => {
                    let length = self.unsigned::<2>()?;
                    self.take(length)?;
                }
                0xc6 | 0xdb => {
                    let length = self.unsigned::<4>()?;
                    self.take(length)?;
                }
                0xc7 => {
                    let length = self.unsigned::<1>()?;
                    self.take(length + 1)?;
                }
                0xc8 => {
                    let length = self.unsigned::<2>()?;
                    self.take(length + 1)?;
                }
                0xc9 => {
                    let length = self.unsigned::<4>()?;
                    self.take(length + 1)?;
                }
                0xcc | 0xd0 => drop(self.take(1)?),
                0xcd | 0xd1 => drop(self.take(2)?),
                0xca | 0xce | 0xd2 => drop(self.take(4)?),
                0xcb | 0xcf | 0xd3 => drop(self.take(8)?),
                byte @ 0xd4..=0xd8 => drop(self.take(1 + (1 << (byte - 0xd4)))?),
                0xdc => open += self.unsigned::<2>()?,
                0xdd => open += self.unsigned::<4>()?,
                byte @ 0xde..=0xdf => {
                    let count = match byte {
                        0xde => self.unsigned::<2>()?,
                        _ => self.unsigned::<4>()?,
                    };
                    if count >= pairs {
                        return Ok(true);
                    }
                    open += 2 * count;
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Layout;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|value| encode(value).as_slice().to_vec()),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|payload| {
                let mut bytes = vec![0xc4, payload.len() as u8];
                bytes.extend(payload);
                bytes
            }),
            any::<f64>().prop_map(|value| {
                let mut bytes = vec![0xcb];
                bytes.extend(value.to_be_bytes());
                bytes
            }),
            Just(vec![0xc0]),
            Just(vec![
                0xd8, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
            ]),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop::collection::vec(inner, 0..5).prop_map(|items| {
                let mut bytes = vec![0x90 | items.len() as u8];
                bytes.extend(items.into_iter().flatten());
                bytes
            })
        })
    }

    proptest! {
        #[test]
        fn arrays(others in prop::collection::vec(value(), 0..5), at in 0usize..6, id in any::<u64>(), next in any::<u64>(), code in 0u64..3) {
            let at = at.min(others.len());
            let layout = Layout::msgpack_array(at, at + 1);
            let build = |id: u64, code: u64| {
                let mut bytes = vec![0x90 | (others.len() + 2) as u8];
                bytes.extend(others[..at].iter().flatten());
                bytes.extend(encode(id).as_slice());
                bytes.extend(encode(code).as_slice());
                bytes.extend(others[at..].iter().flatten());
                bytes
            };
            let message = build(id, code);
            prop_assert_eq!(layout.scan(&message), Ok(Header { id, control: Control::from_wire(code) }));
            let mut output = Vec::new();
            layout.splice(&message, next, Control::End, &mut output).unwrap();
            prop_assert_eq!(output, build(next, 2));
        }

        #[test]
        fn maps(others in prop::collection::vec(value(), 0..20), with_id in any::<bool>(), with_code in any::<bool>(), id in any::<u64>(), next in any::<u64>()) {
            let layout = Layout::msgpack_map("id", "code");
            let mut pairs: Vec<Vec<u8>> = Vec::new();
            for (index, other) in others.iter().enumerate() {
                let mut pair = Vec::new();
                write_string(&format!("key{index}"), &mut pair);
                pair.extend(other);
                pairs.push(pair);
            }
            if with_id { pairs.push([b"\xa2id", encode(id).as_slice()].concat()); }
            if with_code { pairs.push(b"\xa4code\x01".to_vec()); }
            let mut message = vec![0xde, 0, pairs.len() as u8];
            message.extend(pairs.iter().flatten());
            let header = Header {
                id: if with_id { id } else { 0 },
                control: if with_code { Control::Cancel } else { Control::Normal },
            };
            prop_assert_eq!(layout.scan(&message), Ok(header));
            let mut output = Vec::new();
            layout.splice(&message, next, Control::End, &mut output).unwrap();
            prop_assert_eq!(layout.scan(&output), Ok(Header { id: next, control: Control::End }));
            for pair in &pairs[..others.len()] {
                prop_assert!(output.windows(pair.len()).any(|window| window == &pair[..]));
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for layout in [Layout::msgpack_array(0, 1), Layout::msgpack_array(3, 1), Layout::msgpack_map("i", "c")] {
                let mut output = Vec::new();
                if layout.splice(&bytes, 300, Control::Cancel, &mut output).is_ok() {
                    prop_assert_eq!(layout.scan(&output), Ok(Header { id: 300, control: Control::Cancel }));
                }
            }
        }
    }
}
