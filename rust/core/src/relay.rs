//! What a relay reads of a message it forwards: which key decides where it goes.

use crate::header::Malformed;
use crate::protobuf;

/// Where a command carries its key: `command` > one of `keyed` > `key`, each a protobuf field number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    /// The top-level field that holds the command.
    pub command: u32,
    /// Fields of it that are commands on a key.
    pub keyed: Vec<u32>,
    /// The field of those that is the key.
    pub key: u32,
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
    pub fn find<'a>(&self, message: &'a [u8]) -> Result<Kind<'a>, Malformed> {
        let Some((_, command)) = protobuf::last_bytes(message, |number| number == self.command)? else {
            return Ok(Kind::Other);
        };
        // The members of a oneof exclude each other: the last one counts, whether it is keyed or not.
        let Some((number, operation)) = protobuf::last_bytes(command, |_| true)? else {
            return Ok(Kind::Other);
        };
        if !self.keyed.contains(&number) {
            return Ok(Kind::Other);
        }
        let key = protobuf::last_bytes(operation, |number| number == self.key)?;
        Ok(Kind::Keyed(key.map_or(&[], |(_, key)| key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> KeyPath {
        KeyPath { command: 10, keyed: vec![2, 3, 4], key: 2 }
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
        assert_eq!(path().find(&bytes(10, &bytes(1, &bytes(1, b"token")))), Ok(Kind::Other));
        assert_eq!(path().find(&[0x10, 7]), Ok(Kind::Other));
        assert_eq!(path().find(&bytes(10, b"")), Ok(Kind::Other));
        assert!(path().find(&[0x52, 9, 1]).is_err());
    }
}
