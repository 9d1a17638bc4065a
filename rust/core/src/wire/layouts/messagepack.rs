//! Id and control code as elements of a MessagePack array or values of a MessagePack map.

use super::codec::{HeaderCodec, Located, Place};
use super::parameters::{Parameter, Parameters};
use crate::wire::header::Header;
use crate::wire::malformed::Malformed;
use crate::wire::messagepack::{MAX_STRING, Reader, shortest, write_map, write_string};
use crate::wire::piece::Piece;

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

impl HeaderCodec for Fields {
    fn from_parameters(parameters: &mut Parameters) -> Result<Self, String> {
        match (parameters.take("id")?, parameters.take("control")?) {
            (Parameter::Number(id), Parameter::Number(control)) => {
                // No message has so many elements.
                let index = |number| u32::try_from(number).map_err(|_| format!("{number} is no index"));
                Ok(Fields::Array {
                    id: index(id)? as usize,
                    control: index(control)? as usize,
                })
            }
            (Parameter::Text(id), Parameter::Text(control)) => {
                if id.len().max(control.len()) > MAX_STRING {
                    return Err(format!("a key is at most {MAX_STRING} bytes long"));
                }
                Ok(Fields::Map {
                    id: id.into(),
                    control: control.into(),
                })
            }
            _ => Err("id and control are two numbers (of an array) or two names (of a map)".into()),
        }
    }

    /// Short keys, which arbitrary bytes hit, and ones whose own lengths take other forms.
    fn chosen([form, id, control]: [u8; 3]) -> Option<Self> {
        let key = |choice: u8| match choice {
            0..=149 => char::from(b'a' + choice % 4).to_string(),
            150..=199 => "id".into(),
            _ => "k".repeat(usize::from(choice - 199) * 6),
        };
        if form % 2 == 0 {
            let (id, control) = (usize::from(id % 20), usize::from(control % 20));
            (id != control).then_some(Fields::Array { id, control })
        } else {
            let (id, control) = (key(id).into(), key(control).into());
            (id != control).then_some(Fields::Map { id, control })
        }
    }

    /// MessagePack has larger ones, but not every language that reads it: Java and SQL have no unsigned integers.
    fn largest_id(&self) -> u64 {
        i64::MAX as u64
    }

    #[inline]
    fn locate(&self, message: &[u8]) -> Result<Located, Malformed> {
        match self {
            Fields::Array { id, control } => in_array(message, *id, *control),
            Fields::Map { id, control } => in_map(message, id, control),
        }
    }

    #[inline]
    fn encode_id(&self, id: u64) -> Piece {
        shortest(id)
    }

    #[inline]
    fn encode_control(&self, code: u64) -> Piece {
        shortest(code)
    }

    /// The message as a map in which id and control code stand once each, first and with value zero.
    fn tidied(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Fields::Map { id, control } = self else {
            return Err(SHORT);
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
            let start = reader.at();
            let key = reader.string()?;
            reader.skip()?;
            if key != Some(id.as_bytes()) && key != Some(control.as_bytes()) {
                pairs.extend_from_slice(&message[start..reader.at()]);
                kept += 1;
            }
        }
        let mut map = Vec::with_capacity(pairs.len() + 5 + message.len() - reader.at());
        write_map(kept, &mut map);
        map.extend_from_slice(&pairs);
        map.extend_from_slice(&message[reader.at()..]);
        Ok(map)
    }
}

const SHORT: Malformed = Malformed("the array is too short to hold the id and the control code");

fn in_array(message: &[u8], id: usize, control: usize) -> Result<Located, Malformed> {
    let mut reader = Reader::new(message);
    let count = reader.array()?;
    let mut found = [(0u64, Place { start: 0, end: 0 }); 2];
    for index in 0..=id.max(control) {
        if index >= count {
            return Err(SHORT);
        }
        if index == id || index == control {
            found[usize::from(index == control)] = integer(&mut reader)?;
        } else {
            reader.skip()?;
        }
    }
    Ok(located(found[0], found[1], true))
}

fn in_map(message: &[u8], id: &str, control: &str) -> Result<Located, Malformed> {
    let mut reader = Reader::new(message);
    let count = reader.map()?;
    let mut found: [Option<(u64, Place)>; 2] = [None, None];
    let mut once = true;
    for _ in 0..count {
        let slot = match reader.string()? {
            Some(key) if key == id.as_bytes() => &mut found[0],
            Some(key) if key == control.as_bytes() => &mut found[1],
            _ => {
                reader.skip()?;
                continue;
            }
        };
        once &= slot.is_none();
        *slot = Some(integer(&mut reader)?);
    }
    let complete = found.iter().all(Option::is_some);
    let [id, control] = found.map(|slot| slot.unwrap_or((0, Place { start: 0, end: 0 })));
    Ok(located(id, control, once && complete))
}

/// The integer that comes next, and where it stands.
#[inline]
fn integer(reader: &mut Reader<'_>) -> Result<(u64, Place), Malformed> {
    let start = reader.at();
    let value = reader.integer()?;
    let end = reader.at();
    Ok((value, Place { start, end }))
}

#[inline]
fn located(id: (u64, Place), control: (u64, Place), canonical: bool) -> Located {
    Located {
        header: Header::from_wire(id.0, control.0),
        id: id.1,
        control: control.1,
        canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::Control;
    use crate::wire::layouts::Layout;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|value| shortest(value).as_slice().to_vec()),
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
            let layout = Layout::MessagePack(Fields::Array { id: at, control: at + 1 });
            let build = |id: u64, code: u64| {
                let mut bytes = vec![0x90 | (others.len() + 2) as u8];
                bytes.extend(others[..at].iter().flatten());
                bytes.extend(shortest(id).as_slice());
                bytes.extend(shortest(code).as_slice());
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
            let layout = Layout::MessagePack(Fields::Map { id: "id".into(), control: "code".into() });
            let mut pairs: Vec<Vec<u8>> = Vec::new();
            for (index, other) in others.iter().enumerate() {
                let mut pair = Vec::new();
                write_string(&format!("key{index}"), &mut pair);
                pair.extend(other);
                pairs.push(pair);
            }
            if with_id { pairs.push([b"\xa2id", shortest(id).as_slice()].concat()); }
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
    }
}
