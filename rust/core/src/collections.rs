//! The values of more than one part: dictionary, set, list and sorted set; each knows what it may grow to and what it weighs.

pub mod dictionary;
pub mod list;
pub mod set;
pub mod sorted_set;

use std::fmt;

pub use dictionary::Dictionary;
pub use list::List;
pub use set::Set;
pub use sorted_set::SortedSet;

/// The most bytes the elements of one collection may take in a message, so that one answer can hold them all:
/// below the 4 MiB that connections accept by default.
pub const LARGEST_COLLECTION: usize = 4 * 1024 * 1024 - 16 * 1024;

/// Bytes a message spends on an element besides its content, at most: tags, lengths, a score.
const ELEMENT_ON_THE_WIRE: usize = 24;

/// Places a container may hold without being asked how many of them are in use.
pub(crate) const FEW_PLACES: usize = 64;

/// What kind of value is under a key; the numbers are those of Momento's ItemType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Plain bytes.
    Scalar = 0,
    /// Fields with values.
    Dictionary = 1,
    /// Distinct elements.
    Set = 2,
    /// Elements in order.
    List = 3,
    /// Distinct elements ordered by their scores.
    SortedSet = 4,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "a scalar",
            Self::Dictionary => "a dictionary",
            Self::Set => "a set",
            Self::List => "a list",
            Self::SortedSet => "a sorted set",
        })
    }
}

/// A collection that would become larger than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionTooLarge {
    /// Bytes it would take.
    pub needed: usize,
    /// Bytes it may take.
    pub limit: usize,
}

impl fmt::Display for CollectionTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the collection would take {} bytes with its overhead; the limit is {} bytes",
            self.needed, self.limit
        )
    }
}

impl std::error::Error for CollectionTooLarge {}

/// What a collection may grow to: `memory` bytes as the engine charges it, and `LARGEST_COLLECTION` in a message.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes the engine may charge for the collection.
    pub memory: usize,
}

impl Room {
    /// Whether `count` elements with `payload` bytes of content, each charged `overhead` more, are not too many.
    pub(crate) fn check(
        self,
        payload: usize,
        count: usize,
        overhead: usize,
    ) -> Result<(), CollectionTooLarge> {
        let on_the_wire = payload + count * ELEMENT_ON_THE_WIRE;
        let charged = payload + count * overhead;
        if on_the_wire > LARGEST_COLLECTION {
            return Err(CollectionTooLarge {
                needed: on_the_wire,
                limit: LARGEST_COLLECTION,
            });
        }
        if charged > self.memory {
            return Err(CollectionTooLarge {
                needed: charged,
                limit: self.memory,
            });
        }
        Ok(())
    }
}

/// Any collection.
#[derive(Debug)]
pub enum Collection {
    /// Fields with values.
    Dictionary(Dictionary),
    /// Distinct elements.
    Set(Set),
    /// Elements in order.
    List(List),
    /// Distinct elements ordered by their scores.
    SortedSet(SortedSet),
}

impl Collection {
    /// Which of them it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dictionary(_) => Kind::Dictionary,
            Self::Set(_) => Kind::Set,
            Self::List(_) => Kind::List,
            Self::SortedSet(_) => Kind::SortedSet,
        }
    }
}

/// What the four collections have in common; an empty one is never stored.
pub trait Family: Default {
    /// Which of them it is.
    const KIND: Kind;

    /// The collection as one of any kind.
    fn wrap(self) -> Collection;

    /// The collection of this kind, if it is one.
    fn of(collection: &Collection) -> Option<&Self>;

    /// The collection of this kind, if it is one, to be changed.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;

    /// How many elements it has.
    fn len(&self) -> usize;

    /// Bytes the engine charges for it.
    fn charged(&self) -> usize;

    /// Gives back what it no longer needs: where less than a quarter of the places is in use, twice as many as are
    /// stay. It costs no more than what was done since the last time, on average.
    fn trim(&mut self);

    /// Places in the largest of its containers.
    #[cfg(test)]
    fn places(&self) -> usize;

    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

macro_rules! family {
    ($name:ident, $overhead:path, $($container:ident),+) => {
        impl $crate::collections::Family for $name {
            const KIND: $crate::collections::Kind = $crate::collections::Kind::$name;

            fn wrap(self) -> $crate::collections::Collection {
                $crate::collections::Collection::$name(self)
            }

            fn of(collection: &$crate::collections::Collection) -> Option<&Self> {
                match collection {
                    $crate::collections::Collection::$name(found) => Some(found),
                    _ => None,
                }
            }

            fn of_mut(collection: &mut $crate::collections::Collection) -> Option<&mut Self> {
                match collection {
                    $crate::collections::Collection::$name(found) => Some(found),
                    _ => None,
                }
            }

            fn len(&self) -> usize {
                self.count()
            }

            fn charged(&self) -> usize {
                self.payload + self.count() * $overhead
            }

            fn trim(&mut self) {
                $(
                    let (places, used) = (self.$container.capacity(), self.$container.len());
                    if places > $crate::collections::FEW_PLACES && used * 4 < places {
                        self.$container.shrink_to(used * 2);
                    }
                )+
            }

            #[cfg(test)]
            fn places(&self) -> usize {
                [$(self.$container.capacity()),+].into_iter().max().unwrap_or(0)
            }
        }
    };
}
pub(crate) use family;

/// The part of a sequence of `length` from `start` (inclusive, the beginning by default) to `end` (exclusive, the
/// end by default); negative ones count from the end, and what lies outside is left out.
pub fn slice(length: usize, start: Option<i32>, end: Option<i32>) -> std::ops::Range<usize> {
    let place = |index: i32| {
        if index < 0 {
            length.saturating_sub(index.unsigned_abs() as usize)
        } else {
            (index as usize).min(length)
        }
    };
    let from = start.map_or(0, place);
    let to = end.map_or(length, place);
    from..to.max(from)
}

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
    fn slices_are_those_of_the_specification() {
        // The examples in the comments of Momento's cacheclient.proto.
        for (length, start, end, expected) in [
            (10, Some(5), None, 5..10),
            (10, Some(5), Some(0), 5..5),
            (10, Some(-5), None, 5..10),
            (10, Some(-5), Some(0), 5..5),
            (10, Some(0), Some(-5), 0..5),
            (10, Some(2), Some(6), 2..6),
            (10, Some(2), Some(-6), 2..4),
            (10, Some(-7), Some(-2), 3..8),
            (10, Some(-2), Some(-6), 8..8),
            (1, Some(-1), Some(1), 0..1),
            (1, Some(1), Some(-1), 1..1),
            (1, Some(0), Some(-1), 0..0),
            (3, None, None, 0..3),
            (3, Some(i32::MIN), Some(i32::MAX), 0..3),
        ] {
            assert_eq!(slice(length, start, end), expected, "{length} {start:?} {end:?}");
        }
    }

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
