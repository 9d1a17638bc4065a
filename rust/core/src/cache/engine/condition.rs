//! The conditions of conditional writes: on what is there, or on its hash.

use super::item::{Item, Scalar};
use super::keys::value_hash;
use super::refused::Refused;

/// When a conditional write takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Something is there, of whatever kind.
    Present,
    /// Nothing is there.
    Absent,
    /// A value equal to this is there.
    Equal(&'a [u8]),
    /// No value equal to this is there.
    NotEqual(&'a [u8]),
    /// A value other than this is there.
    PresentAndNotEqual(&'a [u8]),
    /// Nothing but a value equal to this is there.
    AbsentOrEqual(&'a [u8]),
    /// A value with this `value_hash` is there.
    PresentAndHashEqual(&'a [u8]),
    /// A value with another `value_hash` is there.
    PresentAndNotHashEqual(&'a [u8]),
    /// Nothing but a value with this `value_hash` is there.
    AbsentOrHashEqual(&'a [u8]),
    /// Nothing but a value with another `value_hash` is there.
    AbsentOrNotHashEqual(&'a [u8]),
}

impl Condition<'_> {
    /// Whether it holds where nothing is.
    pub fn when_absent(self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::NotEqual(_)
                | Self::AbsentOrEqual(_)
                | Self::AbsentOrHashEqual(_)
                | Self::AbsentOrNotHashEqual(_)
        )
    }

    /// Whether it holds where this is.
    pub fn when_present<S: Scalar>(self, item: &Item<S>) -> Result<bool, Refused> {
        let equal = |other: &[u8]| Ok(item.scalar()?.read(|bytes| bytes == other));
        let hash_equal = |other: &[u8]| Ok(item.scalar()?.read(|bytes| value_hash(bytes) == other));
        match self {
            Self::Present => Ok(true),
            Self::Absent => Ok(false),
            Self::Equal(other) | Self::AbsentOrEqual(other) => equal(other),
            Self::NotEqual(other) | Self::PresentAndNotEqual(other) => equal(other).map(|equal| !equal),
            Self::PresentAndHashEqual(other) | Self::AbsentOrHashEqual(other) => hash_equal(other),
            Self::PresentAndNotHashEqual(other) | Self::AbsentOrNotHashEqual(other) => {
                hash_equal(other).map(|equal| !equal)
            }
        }
    }
}
