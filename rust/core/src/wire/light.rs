//! Light messages: those that say nothing but id, payload and perhaps a method, as nearly all of a gRPC call do. For these
//! no message object is made (docs/decisions/0007).

use super::protobuf_reader::{MAX_DEPTH, Reader, wire};

/// The numbers of the fields that a light message may have: varints, and bytes for the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The message id.
    pub id: u32,
    /// The payload, which a light message has.
    pub payload: u32,
    /// The method's number.
    pub method: u32,
}

/// What a light message says; numbers that are absent are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Light<'a> {
    /// The message id.
    pub id: u64,
    /// The method's number.
    pub method: u64,
    /// The payload.
    pub payload: &'a [u8],
}

impl Fields {
    /// What `message` says, if it is light: it has a payload, and no field but these three, each at most once.
    #[inline]
    pub fn read<'a>(&self, message: &'a [u8]) -> Option<Light<'a>> {
        let mut reader = Reader::new(message);
        let (mut id, mut method, mut payload) = (None, None, None);
        while !reader.is_empty() {
            let (number, wire_type) = reader.key().ok()?;
            if number == self.payload && wire_type == wire::BYTES {
                if payload.replace(reader.bytes().ok()?).is_some() {
                    return None;
                }
            } else if wire_type == wire::VARINT && (number == self.id || number == self.method) {
                let slot = if number == self.id { &mut id } else { &mut method };
                if slot.replace(reader.varint().ok()?).is_some() {
                    return None;
                }
            } else {
                return None;
            }
        }
        Some(Light {
            id: id.unwrap_or(0),
            method: method.unwrap_or(0),
            payload: payload?,
        })
    }
}

impl Fields {
    /// Whether `message` has at most `most` bytes beside its payload; a message that does not read has, too.
    pub fn fits(&self, message: &[u8], most: usize) -> bool {
        let mut reader = Reader::new(message);
        let mut beside = 0;
        while !reader.is_empty() && beside <= most {
            let before = reader.rest().len();
            let Ok((number, wire_type)) = reader.key() else {
                return true;
            };
            if reader.skip(number, wire_type, MAX_DEPTH).is_err() {
                return true;
            }
            if number != self.payload {
                beside += before - reader.rest().len();
            }
        }
        beside <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELDS: Fields = Fields {
        id: 1,
        payload: 3,
        method: 4,
    };

    fn varint(number: u8, value: u64) -> Vec<u8> {
        let mut field = vec![number << 3];
        crate::wire::varint::write(value, &mut field);
        field
    }

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        crate::wire::varint::write(content.len() as u64, &mut field);
        field.extend_from_slice(content);
        field
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(id: u64, method: u64, payload: Vec<u8>) {
            let message = [bytes(3, &payload), varint(1, id), varint(4, method)].concat();
            prop_assert_eq!(FIELDS.read(&message), Some(Light { id, method, payload: &payload }));
        }

        #[test]
        fn no_bytes_make_it_fail(message: Vec<u8>) {
            let _ = FIELDS.read(&message);
        }
    }

    #[test]
    fn what_is_beside_the_payload_is_counted() {
        let message = [bytes(3, &[0; 100]), bytes(8, b""), varint(1, 7), bytes(3, b"x")].concat();
        assert!(FIELDS.fits(&message, 4));
        assert!(!FIELDS.fits(&message, 3));
        assert!(FIELDS.fits(&[message, vec![0x1a, 9]].concat(), 4));
        assert!(FIELDS.fits(b"", 0));
    }

    #[test]
    fn anything_else_is_not_light() {
        let light = [varint(1, 7), bytes(3, b"x")].concat();
        assert_eq!(
            FIELDS.read(&light).map(|light| (light.id, light.method)),
            Some((7, 0))
        );
        for more in [
            varint(1, 7),
            varint(2, 1),
            bytes(3, b"y"),
            varint(3, 1),
            bytes(4, b"z"),
            bytes(5, b"/path"),
            vec![0x1a],
        ] {
            assert_eq!(FIELDS.read(&[light.clone(), more].concat()), None);
        }
        assert_eq!(FIELDS.read(&varint(1, 7)), None);
        assert_eq!(FIELDS.read(b""), None);
    }
}
