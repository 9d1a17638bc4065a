//! Other protocols that are met on our ports by mistake, told by their first bytes.

use crate::wire::varint;

/// What the peer speaks whose very first bytes these are, if it is something well known; none of these can be
/// the beginning of a connection whose first message is a greeting.
pub fn foreign(first: &[u8]) -> Option<&'static str> {
    match first {
        // RFC 9113, 3.4: the client's connection preface.
        [b'P', b'R', b'I', b' ', ..] => Some("it speaks HTTP/2, as gRPC does"),
        // RFC 9113, 6.5: a server begins with a SETTINGS frame, on stream 0.
        [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some("it speaks HTTP/2, as gRPC does"),
        // RFC 8446, 5.1: a handshake record, or an alert.
        [0x16 | 0x15, 3, 0..=4, ..] => Some("it speaks TLS"),
        // A command is an array of bulk strings, or a line.
        [b'*', b'0'..=b'9', ..] => Some("it speaks RESP, as Redis does"),
        _ => TEXTS
            .iter()
            .find(|(begin, _)| first.starts_with(begin))
            .map(|(_, what)| *what),
    }
}

const HTTP: &str = "it speaks HTTP/1";
const PROXY: &str = "it speaks the PROXY protocol, which the proxy in front must not do here";

const TEXTS: [(&[u8], &str); 13] = [
    (b"HTTP/", HTTP),
    (b"GET ", HTTP),
    (b"POST ", HTTP),
    (b"HEAD ", HTTP),
    (b"PUT ", HTTP),
    (b"DELETE ", HTTP),
    (b"OPTIONS ", HTTP),
    (b"CONNECT ", HTTP),
    (b"PATCH ", HTTP),
    (b"TRACE ", HTTP),
    (b"PING\r\n", "it speaks RESP, as Redis does"),
    // proxy-protocol.txt, 2.1 and 2.2.
    (b"PROXY ", PROXY),
    (b"\r\n\r\n\0\r\nQUIT\n", PROXY),
];

/// Whether no protobuf message can begin like this, behind its length: what text looks like long before so many
/// bytes have come as its first letter would say.
///
/// It looks at lengths of one byte only, which letters are, and says no where only the whole message can tell.
pub fn is_no_protobuf(first: &[u8]) -> bool {
    let Some((&length @ ..0x80, arrived)) = first.split_first() else {
        return false;
    };
    let size = usize::from(length);
    let mut at = 0;
    while at < size {
        let Some(key) = number(arrived, &mut at) else {
            return false;
        };
        if key < 8 || key > u64::from(u32::MAX) {
            return true;
        }
        let value = match key & 7 {
            0 => match number(arrived, &mut at) {
                Some(_) => 0,
                None => return false,
            },
            1 => 8,
            2 => match number(arrived, &mut at) {
                Some(length) => length,
                None => return false,
            },
            3 => return false,
            5 => 4,
            _ => return true,
        };
        if value > size.saturating_sub(at) as u64 {
            return true;
        }
        at += value as usize;
    }
    false
}

/// The number at `at`, which moves behind it; None if it has not arrived as a whole.
fn number(arrived: &[u8], at: &mut usize) -> Option<u64> {
    match varint::read(arrived.get(*at..)?) {
        varint::Read::Value { value, length } => {
            *at += length;
            Some(value)
        }
        varint::Read::Incomplete | varint::Read::Invalid => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::layouts::{Layout, Parameters};
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::new("protobuf", Parameters::from([("id", 1), ("control", 2)])).unwrap()
    }

    /// Bytes that are fields more often than random ones.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            prop::sample::select(&b"\x08\x12\x09\x0d\x1a\0\x01\x04P"[..]),
            any::<u8>()
        ];
        prop::collection::vec(byte, 0..100)
    }

    proptest! {
        #[test]
        fn what_is_a_message_stays_one(message in likely(), rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = vec![message.len() as u8];
            bytes.extend_from_slice(&message);
            bytes.extend_from_slice(&rest);
            for cut in 0..=bytes.len() {
                if is_no_protobuf(&bytes[..cut]) {
                    prop_assert!(layout().scan(&message).is_err(), "{cut}");
                }
            }
        }
    }

    #[test]
    fn text_is_no_message_before_all_of_it_is_there() {
        for text in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET /some/path HTTP/1.1\r\nHost: a\r\n\r\n",
            "HEAD / HTTP/1.1\r\n\r\n",
            "POST /a HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "INFO\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            "PROXY UNKNOWN\r\n",
            "\r\n\r\n\0\r\nQUIT\n",
            "\x16\x03\x01\x02",
        ] {
            assert!(is_no_protobuf(text.as_bytes()), "{text:?}");
        }
        assert!(!is_no_protobuf(b"PING\r\n"));
        assert!(!is_no_protobuf(b""));
        assert!(!is_no_protobuf(b"\x80"));
    }

    #[test]
    fn well_known_beginnings_are_told() {
        for (first, what) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], Some("HTTP/2")),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x04", Some("HTTP/2")),
            (b"HTTP/1.1 400 Bad Request", Some("HTTP/1")),
            (b"GET / HTTP/1.1", Some("HTTP/1")),
            (b"OPTIONS * HTTP/1.1", Some("HTTP/1")),
            (b"\x16\x03\x01\x02\x00\x01", Some("TLS")),
            (b"PING\r\n", Some("RESP")),
            (b"*1\r\n$4\r\nPING\r\n", Some("RESP")),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", Some("the")),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", Some("the")),
            (b"PING", None),
            (b"\x04\x6a\x02\x08\x01", None),
            (b"P", None),
            (b"", None),
        ] {
            assert_eq!(
                foreign(first).map(|text| text.split([' ', ',']).nth(2).unwrap_or("")),
                what,
                "{first:?}"
            );
        }
    }
}
