//! Other protocols that are met on our ports by mistake, told by their first bytes.

/// What the peer speaks whose very first bytes these are, if it is something well known; none of these can be
/// the beginning of a connection whose first message is a greeting.
pub fn foreign(first: &[u8]) -> Option<&'static str> {
    match first {
        // RFC 9113, 3.4: the client's connection preface.
        [b'P', b'R', b'I', b' ', ..] => Some("it speaks HTTP/2, as gRPC does"),
        // RFC 9113, 6.5: a server begins with a SETTINGS frame, on stream 0.
        [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some("it speaks HTTP/2, as gRPC does"),
        [b'H', b'T', b'T', b'P', b'/', ..]
        | [b'G', b'E', b'T', b' ', ..]
        | [b'P', b'O', b'S', b'T', b' ', ..] => Some("it speaks HTTP/1"),
        // RFC 8446, 5.1: a handshake record, or an alert.
        [0x16 | 0x15, 3, 0..=4, ..] => Some("it speaks TLS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_beginnings_are_told() {
        for (first, what) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], Some("HTTP/2")),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x04", Some("HTTP/2")),
            (b"HTTP/1.1 400 Bad Request", Some("HTTP/1")),
            (b"GET / HTTP/1.1", Some("HTTP/1")),
            (b"\x16\x03\x01\x02\x00\x01", Some("TLS")),
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
