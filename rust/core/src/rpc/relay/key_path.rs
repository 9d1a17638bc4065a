//! What a relay reads of a message it forwards: which key decides where it goes.

use crate::wire::Malformed;
use crate::wire::protobuf;

/// Where a command carries its key: `command` > one of `keyed` > `key`, each a protobuf field number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    /// The top-level field that holds the command.
    pub command: u32,
    /// Fields of it that are commands on a key.
    pub keyed: Vec<u32>,
    /// Fields of it that are commands without a key, in one oneof with `keyed`.
    pub others: Vec<u32>,
    /// The field of those in `keyed` that is the key.
    pub key: u32,
    /// The field of any command that is text, so that it has to be UTF-8.
    pub text: u32,
}

/// What a message is to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A command on this key (empty if it names none): it is forwarded.
    Keyed(&'a [u8]),
    /// Anything else: it is answered where it arrived.
    Other,
}

impl KeyPath {
    /// Finds the key; of a field that is there twice the last one counts, as in protobuf.
    ///
    /// Whatever protobuf's parsers would refuse is malformed: many clients share a connection to a storage,
    /// which the storage would end.
    #[inline]
    pub fn find<'a>(&self, message: &'a [u8]) -> Result<Kind<'a>, Malformed> {
        // The members of a oneof exclude each other: the last one counts, whether it is keyed or not.
        let mut last: Option<(u32, Option<&'a [u8]>)> = None;
        protobuf::each_bytes(message, |number, command| {
            if number != self.command {
                return Ok(());
            }
            protobuf::each_bytes(command, |number, operation| {
                let keyed = self.keyed.contains(&number);
                if keyed || self.others.contains(&number) {
                    let key = self.key_of(operation)?;
                    // Two messages in one field are merged.
                    let merged = last
                        .filter(|(known, _)| *known == number)
                        .and_then(|(_, key)| key);
                    last = Some((number, key.or(merged)));
                }
                Ok(())
            })
        })?;
        Ok(match last {
            Some((number, key)) if self.keyed.contains(&number) => Kind::Keyed(key.unwrap_or_default()),
            _ => Kind::Other,
        })
    }

    #[inline]
    fn key_of<'a>(&self, operation: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let mut key = None;
        protobuf::each_bytes(operation, |number, content| {
            if number == self.key {
                key = Some(content);
            } else if number == self.text && std::str::from_utf8(content).is_err() {
                return Err(Malformed("a text is not UTF-8"));
            }
            Ok(())
        })?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> KeyPath {
        KeyPath {
            command: 10,
            keyed: vec![2, 3, 4],
            others: vec![1],
            key: 2,
            text: 1,
        }
    }

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    #[test]
    fn a_key_is_found_behind_its_namespace() {
        let get = [bytes(1, b"cache"), bytes(2, b"key")].concat();
        let message = [vec![0x10, 7], bytes(10, &bytes(2, &get))].concat();
        assert_eq!(path().find(&message), Ok(Kind::Keyed(b"key")));
        let without = bytes(10, &bytes(2, &bytes(1, b"cache")));
        assert_eq!(path().find(&without), Ok(Kind::Keyed(b"")));
    }

    #[test]
    fn other_commands_stay_here() {
        assert_eq!(
            path().find(&bytes(10, &bytes(1, &bytes(1, b"token")))),
            Ok(Kind::Other)
        );
        assert_eq!(path().find(&[0x10, 7]), Ok(Kind::Other));
        assert_eq!(path().find(&bytes(10, b"")), Ok(Kind::Other));
        assert!(path().find(&[0x52, 9, 1]).is_err());
    }

    #[test]
    fn the_last_member_of_the_oneof_counts_and_unknown_fields_do_not() {
        let get = bytes(2, &bytes(2, b"key"));
        let auth = bytes(1, &bytes(1, b"token"));
        let find = |parts: &[&[u8]]| {
            path()
                .find(&bytes(10, &parts.concat()))
                .map(|kind| kind == Kind::Keyed(b"key"))
        };
        assert_eq!(find(&[&auth, &get]), Ok(true));
        assert_eq!(find(&[&get, &auth]), Ok(false));
        assert_eq!(find(&[&get, &bytes(15, b"new")]), Ok(true));
        assert_eq!(find(&[&get, &bytes(2, &bytes(1, b"merged"))]), Ok(true));
        let twice = [bytes(10, &get), bytes(10, &bytes(2, b""))].concat();
        assert_eq!(path().find(&twice), Ok(Kind::Keyed(b"key")));
    }

    #[test]
    fn what_a_storage_would_refuse_is_malformed() {
        let find = |command: &[u8]| path().find(&bytes(10, command)).is_err();
        assert!(find(&bytes(2, &bytes(1, b"\xff"))));
        assert!(find(&[bytes(2, &bytes(1, b"\xff")), bytes(2, b"")].concat()));
        assert!(find(&[bytes(1, &bytes(1, b"\xff")), bytes(2, b"")].concat()));
        assert!(find(&[0x92, 0x80, 0x80, 0x80, 0x80, 0x00, 0]));
        assert!(find(&[0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]));
        assert!(find(&[0x7b, 0x7c]));
        assert!(!find(&bytes(2, &bytes(2, b"\xff"))));
    }
}
