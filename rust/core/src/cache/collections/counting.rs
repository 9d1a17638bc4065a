//! Counting with values that are decimal digits.

use std::fmt;

/// The number a text of decimal digits with an optional sign says, plus `amount`.
pub fn add_to_integer(text: &[u8], amount: i64) -> Result<i64, NotCountable> {
    let number: i64 = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(NotCountable::NotAnInteger)?;
    number.checked_add(amount).ok_or(NotCountable::Overflow)
}

/// Why a value could not be incremented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCountable {
    /// It is no integer of 64 bits, written in decimal digits.
    NotAnInteger,
    /// The sum is no integer of 64 bits.
    Overflow,
    /// The sum of two scores is no number.
    NotANumber,
}

impl fmt::Display for NotCountable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnInteger => "the value is not a 64-bit integer in decimal digits",
            Self::Overflow => "the sum does not fit into a 64-bit integer",
            Self::NotANumber => "the sum of the scores is not a number",
        })
    }
}

impl std::error::Error for NotCountable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal_and_of_64_bits() {
        assert_eq!(add_to_integer(b"-5", 7), Ok(2));
        assert_eq!(add_to_integer(b"x", 1), Err(NotCountable::NotAnInteger));
        assert_eq!(add_to_integer(b"", 1), Err(NotCountable::NotAnInteger));
        assert_eq!(add_to_integer(b" 1", 1), Err(NotCountable::NotAnInteger));
        assert_eq!(add_to_integer(b"\xff", 1), Err(NotCountable::NotAnInteger));
        assert_eq!(
            add_to_integer(b"9223372036854775807", 1),
            Err(NotCountable::Overflow)
        );
    }
}
